"""MobileNet (width 1, 224x224): depthwise and pointwise convolutions in turn.

Source: Howard et al., arXiv:1704.04861 (2017), table 1. 4,231,976 parameters.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph

NAMES = ("mobilenet",)
BLOCKS = (
    # channels, stride, blocks in a row
    (64, 1, 1),
    (128, 2, 1),
    (128, 1, 1),
    (256, 2, 1),
    (256, 1, 1),
    (512, 2, 1),
    (512, 1, 5),
    (1024, 2, 1),
    (1024, 1, 1),
)


def build(name: str) -> ModelGraph:
    """Return MobileNet."""
    row = Row((3, 224, 224))
    row.add("stem", _stem)
    for i, (channels, stride, count) in enumerate(BLOCKS, 1):
        row.add(f"block{i}", _separable, count=count, channels=channels, stride=stride)
    row.add("classifier", _classifier)
    return row.model(name, "Howard et al., arXiv:1704.04861 (2017), table 1", NORM_GROUP)


def _stem(b: BlockBuilder, x: Value) -> Value:
    return b.conv_norm_relu("conv1", x, 32, 3, stride=2, pad=1)


def _separable(b: BlockBuilder, x: Value, *, channels: int, stride: int) -> Value:
    wide = x.shape[0]
    x = b.conv_norm_relu("depthwise", x, wide, 3, stride=stride, pad=1, groups=wide)
    return b.conv_norm_relu("pointwise", x, channels, 1)


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("pool", "avg_pool", x, window=7)
    return b.layer("output", "linear", b.layer("flat", "flatten", x), features=1000)
