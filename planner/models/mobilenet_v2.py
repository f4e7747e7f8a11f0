"""MobileNetV2: inverted residuals, narrow between blocks and wide within.

Its ReLU6 are counted as ReLU. 3,504,872 parameters at width 1; widths 0.5 and 1.4, and
those of other width and depth, as in timm.
Source: Sandler et al., CVPR 2018, table 2.
"""

from math import ceil

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph

WIDTHS = {"mobilenet-v2": 1.0, "mobilenet-v2-0.5": 0.5, "mobilenet-v2-1.4": 1.4}
DEEPER = {"mobilenet-v2-1.1d": (1.1, 1.2), "mobilenet-v2-1.2d": (1.2, 1.4)}
"""Width and depth; the first and last layers are as wide, and the first and last stages as deep, as
those of the network itself."""
NAMES = (*WIDTHS, *DEEPER)
STAGES = (
    # expansion, channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def build(name: str) -> ModelGraph:
    """Return MobileNetV2 in one width."""
    width, depth = DEEPER.get(name) or (WIDTHS[name], 1.0)
    ends = 1.0 if name in DEEPER else width
    row = Row((3, 224, 224))
    row.add("stem", _stem, channels=multiple_of_8(32 * ends))
    for i, (expansion, channels, count, stride) in enumerate(STAGES, 1):
        options = {"expansion": expansion, "channels": multiple_of_8(channels * width)}
        row.add(f"stage{i}.first", _inverted, stride=stride, **options)
        blocks = ceil(count * depth) if 1 < i < len(STAGES) else count
        if blocks > 1:
            row.add(f"stage{i}", _inverted, count=blocks - 1, stride=1, **options)
    row.add("classifier", _classifier, channels=multiple_of_8(1280 * max(1.0, ends)))
    return row.model(name, "Sandler et al., CVPR 2018, table 2", NORM_GROUP)


def multiple_of_8(channels: float) -> int:
    """Return the nearest multiple of 8 that is not more than a tenth less.

    >>> multiple_of_8(12), multiple_of_8(16 * 1.1)
    (16, 16)
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _stem(b: BlockBuilder, x: Value, *, channels: int) -> Value:
    return b.conv_norm_relu("conv1", x, channels, 3, stride=2, pad=1)


def _inverted(b: BlockBuilder, x: Value, *, expansion: int, channels: int, stride: int) -> Value:
    wide = x.shape[0] * expansion
    y = b.conv_norm_relu("expand", x, wide, 1) if expansion > 1 else x
    y = b.conv_norm_relu("depthwise", y, wide, 3, stride=stride, pad=1, groups=wide)
    y = b.conv_norm("project", y, channels, 1)
    return b.layer("add", "add", y, x) if y.shape == x.shape else y


def _classifier(b: BlockBuilder, x: Value, *, channels: int) -> Value:
    x = b.conv_norm_relu("conv", x, channels, 1)
    x = b.layer("pool", "avg_pool", x, window=x.shape[1])
    return b.layer("output", "linear", b.layer("flat", "flatten", x), features=1000)
