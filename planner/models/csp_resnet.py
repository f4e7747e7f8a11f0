"""CSPResNet-50: of every stage only half the channels go through the residual blocks.

The layer that widens a stage is two of half its channels, one for each way, instead of one that is
cut in half. Leaky ReLU are counted as ReLU.

Source: Wang et al., CVPR workshops 2020 (arXiv:1911.11929); sizes as in timm's ``cspresnet50``, for
images of 256 x 256: 21,616,168 parameters.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph

NAMES = ("cspresnet-50",)
STAGES = ((3, 128), (3, 256), (5, 512), (2, 1024))
"""Residual blocks and channels."""


def build(name: str) -> ModelGraph:
    """Return CSPResNet-50."""
    row = Row((3, 256, 256))
    row.add("stem", _stem)
    for i, (blocks, channels) in enumerate(STAGES, 1):
        row.add(f"stage{i}", _stage, blocks=blocks, channels=channels, stride=1 if i == 1 else 2)
    row.add("classifier", _classifier)
    return row.model(name, "Wang et al., arXiv:1911.11929 (2020); sizes as in timm", NORM_GROUP)


def _stem(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_norm_relu("conv1", x, 64, 7, stride=2, pad=3)
    return b.layer("pool1", "max_pool", x, window=3, stride=2, pad=1)


def _stage(b: BlockBuilder, x: Value, *, blocks: int, channels: int, stride: int) -> Value:
    if stride > 1:
        x = b.conv_norm_relu("down", x, x.shape[0], 3, stride=stride, pad=1)
    past = b.conv_norm("past", x, channels, 1)
    x = b.conv_norm("through", x, channels, 1)
    for i in range(1, blocks + 1):
        y = b.conv_norm_relu(f"block{i}.conv1", x, channels // 2, 1)
        y = b.conv_norm_relu(f"block{i}.conv2", y, channels // 2, 3, pad=1)
        y = b.conv_norm(f"block{i}.conv3", y, channels, 1)
        x = b.layer(f"block{i}.relu", "relu", b.layer(f"block{i}.add", "add", y, x))
    x = b.conv_norm_relu("after", x, channels, 1)
    return b.conv_norm_relu("out", b.layer("join", "concat", past, x), channels, 1)


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("pool", "avg_pool", x, window=x.shape[1])
    return b.layer("output", "linear", b.layer("flat", "flatten", x), features=1000)
