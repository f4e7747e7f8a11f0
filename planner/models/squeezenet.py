"""SqueezeNet 1.0: fire modules, a narrow convolution that two wide ones read.

1,248,424 parameters. ``squeezenet-1-1`` reduces its maps earlier, as its code and torchvision do:
1,235,496. The table of convnet-burden has 30 MB of features, this has 29.0 MB.
"""

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph

NAMES = ("squeezenet", "squeezenet-1-1")
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Channels of the squeezing and of each expanding convolution of fire2 to fire9."""


def build(name: str) -> ModelGraph:
    """Return SqueezeNet."""
    row = Row((3, 224, 224))
    is_later = name == "squeezenet-1-1"
    row.add("stem", _stem, channels=64 if is_later else 96, kernel=3 if is_later else 7)
    for i, (squeeze, expand) in enumerate(FIRES, 2):
        row.add(f"fire{i}", _fire, squeeze=squeeze, expand=expand)
        if i in ((3, 5) if is_later else (4, 8)):
            row.add(f"pool{i}", _pool)
    row.add("classifier", _classifier)
    return row.model(name, "Iandola et al., arXiv:1602.07360 (2016), table 1")


def _pool(b: BlockBuilder, x: Value) -> Value:
    return b.layer("max", "max_pool", x, window=3, stride=2, ceil=1)


def _stem(b: BlockBuilder, x: Value, *, channels: int, kernel: int) -> Value:
    return _pool(b, b.conv_relu("conv1", x, channels, kernel, stride=2))


def _fire(b: BlockBuilder, x: Value, *, squeeze: int, expand: int) -> Value:
    x = b.conv_relu("squeeze", x, squeeze, 1)
    one = b.conv_relu("expand1", x, expand, 1)
    three = b.conv_relu("expand3", x, expand, 3, pad=1)
    return b.layer("out", "concat", one, three)


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("dropout", "dropout", x, percent=50)
    x = b.conv_relu("conv10", x, 1000, 1)
    x = b.layer("pool", "avg_pool", x, window=x.shape[1])
    return b.layer("flat", "flatten", x)
