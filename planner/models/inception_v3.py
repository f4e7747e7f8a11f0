"""Inception-v3 on 299x299 images, without its auxiliary classifier: 23,834,568 parameters.

The sizes are those of the released network, which differ from the paper's table in details.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph

NAMES = ("inception-v3",)


def build(name: str) -> ModelGraph:
    """Return Inception-v3."""
    row = Row((3, 299, 299))
    row.add("stem", _stem)
    for letter, project in (("b", 32), ("c", 64), ("d", 64)):
        row.add(f"mixed_5{letter}", _five_by_five, project=project)
    row.add("mixed_6a", _reduce_35)
    for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
        row.add(f"mixed_6{letter}", _seven, width=width)
    row.add("mixed_7a", _reduce_17)
    for letter in "bc":
        row.add(f"mixed_7{letter}", _wide)
    row.add("classifier", _classifier)
    return row.model(
        name, "Szegedy et al., CVPR 2016, section 6, in the sizes of its release", NORM_GROUP
    )


def _stem(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_norm_relu("conv1a", x, 32, 3, stride=2)
    x = b.conv_norm_relu("conv2a", x, 32, 3)
    x = b.conv_norm_relu("conv2b", x, 64, 3, pad=1)
    x = b.layer("pool1", "max_pool", x, window=3, stride=2)
    x = b.conv_norm_relu("conv3b", x, 80, 1)
    x = b.conv_norm_relu("conv4a", x, 192, 3)
    return b.layer("pool2", "max_pool", x, window=3, stride=2)


def _projected(b: BlockBuilder, x: Value, channels: int) -> Value:
    x = b.layer("pool", "avg_pool", x, window=3, stride=1, pad=1)
    return b.conv_norm_relu("project", x, channels, 1)


def _three_three(b: BlockBuilder, x: Value, *, stride: int = 1) -> Value:
    x = b.conv_norm_relu("double1", x, 64, 1)
    x = b.conv_norm_relu("double2", x, 96, 3, pad=1)
    return b.conv_norm_relu("double3", x, 96, 3, stride=stride, pad=2 - stride)


def _row_column(b: BlockBuilder, name: str, x: Value, width: int, channels: int) -> Value:
    """Append a 1x7 and a 7x1 convolution."""
    x = b.conv_norm_relu(f"{name}_1x7", x, width, 1, kernel_w=7, pad_w=3)
    return b.conv_norm_relu(f"{name}_7x1", x, channels, 7, kernel_w=1, pad=3, pad_w=0)


def _five_by_five(b: BlockBuilder, x: Value, *, project: int) -> Value:
    one = b.conv_norm_relu("one", x, 64, 1)
    five = b.conv_norm_relu("five1", x, 48, 1)
    five = b.conv_norm_relu("five2", five, 64, 5, pad=2)
    return b.layer("out", "concat", one, five, _three_three(b, x), _projected(b, x, project))


def _reduce_35(b: BlockBuilder, x: Value) -> Value:
    three = b.conv_norm_relu("three", x, 384, 3, stride=2)
    double = _three_three(b, x, stride=2)
    pool = b.layer("pool", "max_pool", x, window=3, stride=2)
    return b.layer("out", "concat", three, double, pool)


def _seven(b: BlockBuilder, x: Value, *, width: int) -> Value:
    one = b.conv_norm_relu("one", x, 192, 1)
    seven = b.conv_norm_relu("seven", x, width, 1)
    seven = _row_column(b, "seven", seven, width, 192)
    double = b.conv_norm_relu("double", x, width, 1)
    double = b.conv_norm_relu("double_7x1", double, width, 7, kernel_w=1, pad=3, pad_w=0)
    double = b.conv_norm_relu("double_1x7", double, width, 1, kernel_w=7, pad_w=3)
    double = b.conv_norm_relu("double_7x1b", double, width, 7, kernel_w=1, pad=3, pad_w=0)
    double = b.conv_norm_relu("double_1x7b", double, 192, 1, kernel_w=7, pad_w=3)
    return b.layer("out", "concat", one, seven, double, _projected(b, x, 192))


def _reduce_17(b: BlockBuilder, x: Value) -> Value:
    three = b.conv_norm_relu("three1", x, 192, 1)
    three = b.conv_norm_relu("three2", three, 320, 3, stride=2)
    seven = b.conv_norm_relu("seven", x, 192, 1)
    seven = _row_column(b, "seven", seven, 192, 192)
    seven = b.conv_norm_relu("seven_3x3", seven, 192, 3, stride=2)
    pool = b.layer("pool", "max_pool", x, window=3, stride=2)
    return b.layer("out", "concat", three, seven, pool)


def _split(b: BlockBuilder, name: str, x: Value) -> Value:
    """Append a 1x3 and a 3x1 convolution side by side."""
    wide = b.conv_norm_relu(f"{name}_1x3", x, 384, 1, kernel_w=3, pad_w=1)
    high = b.conv_norm_relu(f"{name}_3x1", x, 384, 3, kernel_w=1, pad=1, pad_w=0)
    return b.layer(f"{name}_split", "concat", wide, high)


def _wide(b: BlockBuilder, x: Value) -> Value:
    one = b.conv_norm_relu("one", x, 320, 1)
    three = _split(b, "three", b.conv_norm_relu("three", x, 384, 1))
    double = b.conv_norm_relu("double1", x, 448, 1)
    double = _split(b, "double2", b.conv_norm_relu("double2", double, 384, 3, pad=1))
    return b.layer("out", "concat", one, three, double, _projected(b, x, 192))


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("pool", "avg_pool", x, window=8)
    x = b.layer("dropout", "dropout", b.layer("flat", "flatten", x), percent=50)
    return b.layer("output", "linear", x, features=1000)
