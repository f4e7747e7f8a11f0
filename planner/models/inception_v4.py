"""Inception-v4 and Inception-ResNet-v2 on 299x299 images: 42,679,816 and 55,843,464 parameters.

Residuals of Inception-ResNet are scaled in the original; the scale is left out. Source: Szegedy,
Ioffe, Vanhoucke and Alemi, AAAI 2017, figures 3 to 9 and 16 to 19, in the sizes of timm.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph

NAMES = ("inception-resnet-v2", "inception-v4")
SOURCE = "Szegedy et al., AAAI 2017; sizes as in timm"


def build(name: str) -> ModelGraph:
    """Return one of the two."""
    row = Row((3, 299, 299))
    if name == "inception-v4":
        row.add("stem", _stem_4)
        row.add("a", _module_a, count=4)
        row.add("reduce_a", _reduce_a)
        row.add("b", _module_b, count=7)
        row.add("reduce_b", _reduce_b)
        row.add("c", _module_c, count=3)
        row.add("classifier", _classifier, last=0)
        return row.model(name, SOURCE, NORM_GROUP)
    row.add("stem", _stem_residual)
    row.add("block35", _block35, count=10)
    row.add("reduce_35", _reduce_35)
    row.add("block17", _block17, count=20)
    row.add("reduce_17", _reduce_17)
    row.add("block8", _block8, count=9, rectified=1)
    row.add("block8.last", _block8, rectified=0)
    row.add("classifier", _classifier, last=1536)
    return row.model(name, SOURCE, NORM_GROUP)


def _way(b: BlockBuilder, name: str, x: Value, *layers: tuple[int, int, int]) -> Value:
    """Append convolutions of (channels, height, width of the kernel) that keep the size."""
    for i, (channels, high, wide) in enumerate(layers, 1):
        size = {"pad": high // 2}
        if high != wide:
            size |= {"kernel_w": wide, "pad_w": wide // 2}
        x = b.conv_norm_relu(f"{name}{i}", x, channels, high, **size)
    return x


def _pooled(b: BlockBuilder, x: Value, channels: int) -> Value:
    x = b.layer("mean", "avg_pool", x, window=3, stride=1, pad=1)
    return b.conv_norm_relu("project", x, channels, 1)


def _halved(b: BlockBuilder, name: str, x: Value, channels: int) -> Value:
    return b.conv_norm_relu(f"{name}_down", x, channels, 3, stride=2)


def _max(b: BlockBuilder, name: str, x: Value) -> Value:
    return b.layer(name, "max_pool", x, window=3, stride=2)


def _stem_4(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_norm_relu("conv1", x, 32, 3, stride=2)
    x = b.conv_norm_relu("conv2", x, 32, 3)
    x = b.conv_norm_relu("conv3", x, 64, 3, pad=1)
    x = b.layer("join1", "concat", _max(b, "pool1", x), _halved(b, "conv4", x, 96))
    one = b.conv_norm_relu("one_out", _way(b, "one", x, (64, 1, 1)), 96, 3)
    two = _way(b, "two", x, (64, 1, 1), (64, 1, 7), (64, 7, 1))
    x = b.layer("join2", "concat", one, b.conv_norm_relu("two_out", two, 96, 3))
    return b.layer("join3", "concat", _halved(b, "conv5", x, 192), _max(b, "pool2", x))


def _module_a(b: BlockBuilder, x: Value) -> Value:
    one = _way(b, "one", x, (96, 1, 1))
    two = _way(b, "two", x, (64, 1, 1), (96, 3, 3))
    three = _way(b, "three", x, (64, 1, 1), (96, 3, 3), (96, 3, 3))
    return b.layer("out", "concat", one, two, three, _pooled(b, x, 96))


def _reduce_a(b: BlockBuilder, x: Value) -> Value:
    two = _halved(b, "two", _way(b, "two", x, (192, 1, 1), (224, 3, 3)), 256)
    return b.layer("out", "concat", _halved(b, "one", x, 384), two, _max(b, "pool", x))


def _module_b(b: BlockBuilder, x: Value) -> Value:
    one = _way(b, "one", x, (384, 1, 1))
    two = _way(b, "two", x, (192, 1, 1), (224, 1, 7), (256, 7, 1))
    pairs = ((192, 1, 1), (192, 7, 1), (224, 1, 7), (224, 7, 1), (256, 1, 7))
    return b.layer("out", "concat", one, two, _way(b, "three", x, *pairs), _pooled(b, x, 128))


def _reduce_b(b: BlockBuilder, x: Value) -> Value:
    one = _halved(b, "one", _way(b, "one", x, (192, 1, 1)), 192)
    two = _halved(b, "two", _way(b, "two", x, (256, 1, 1), (256, 1, 7), (320, 7, 1)), 320)
    return b.layer("out", "concat", one, two, _max(b, "pool", x))


def _module_c(b: BlockBuilder, x: Value) -> Value:
    one = _way(b, "one", x, (256, 1, 1))
    two = _split(b, "two", _way(b, "two", x, (384, 1, 1)))
    three = _split(b, "three", _way(b, "three", x, (384, 1, 1), (448, 3, 1), (512, 1, 3)))
    return b.layer("out", "concat", one, *two, *three, _pooled(b, x, 256))


def _split(b: BlockBuilder, name: str, x: Value) -> list[Value]:
    """Append a row and a column side by side."""
    return [_way(b, f"{name}_row", x, (256, 1, 3)), _way(b, f"{name}_column", x, (256, 3, 1))]


def _stem_residual(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_norm_relu("conv1", x, 32, 3, stride=2)
    x = b.conv_norm_relu("conv2", x, 32, 3)
    x = _max(b, "pool1", b.conv_norm_relu("conv3", x, 64, 3, pad=1))
    x = b.conv_norm_relu("conv4", x, 80, 1)
    x = _max(b, "pool2", b.conv_norm_relu("conv5", x, 192, 3))
    one = _way(b, "one", x, (96, 1, 1))
    two = _way(b, "two", x, (48, 1, 1), (64, 5, 5))
    three = _way(b, "three", x, (64, 1, 1), (96, 3, 3), (96, 3, 3))
    return b.layer("out", "concat", one, two, three, _pooled(b, x, 64))


def _residual(b: BlockBuilder, x: Value, *ways: Value, rectified: int = 1) -> Value:
    """Append a 1x1 convolution with bias over what is joined, and add it."""
    y = b.conv("up", b.layer("join", "concat", *ways), x.shape[0], 1)
    x = b.layer("add", "add", y, x)
    return b.layer("relu", "relu", x) if rectified else x


def _block35(b: BlockBuilder, x: Value) -> Value:
    one, two = _way(b, "one", x, (32, 1, 1)), _way(b, "two", x, (32, 1, 1), (32, 3, 3))
    return _residual(b, x, one, two, _way(b, "three", x, (32, 1, 1), (48, 3, 3), (64, 3, 3)))


def _reduce_35(b: BlockBuilder, x: Value) -> Value:
    two = _halved(b, "two", _way(b, "two", x, (256, 1, 1), (256, 3, 3)), 384)
    return b.layer("out", "concat", _halved(b, "one", x, 384), two, _max(b, "pool", x))


def _block17(b: BlockBuilder, x: Value) -> Value:
    one = _way(b, "one", x, (192, 1, 1))
    return _residual(b, x, one, _way(b, "two", x, (128, 1, 1), (160, 1, 7), (192, 7, 1)))


def _reduce_17(b: BlockBuilder, x: Value) -> Value:
    one = _halved(b, "one", _way(b, "one", x, (256, 1, 1)), 384)
    two = _halved(b, "two", _way(b, "two", x, (256, 1, 1)), 288)
    three = _halved(b, "three", _way(b, "three", x, (256, 1, 1), (288, 3, 3)), 320)
    return b.layer("out", "concat", one, two, three, _max(b, "pool", x))


def _block8(b: BlockBuilder, x: Value, *, rectified: int) -> Value:
    one = _way(b, "one", x, (192, 1, 1))
    two = _way(b, "two", x, (192, 1, 1), (224, 1, 3), (256, 3, 1))
    return _residual(b, x, one, two, rectified=rectified)


def _classifier(b: BlockBuilder, x: Value, *, last: int) -> Value:
    if last:
        x = b.conv_norm_relu("conv", x, last, 1)
    x = b.layer("pool", "avg_pool", x, window=x.shape[1])
    x = b.layer("dropout", "dropout", b.layer("flat", "flatten", x), percent=20)
    return b.layer("output", "linear", x, features=1000)
