"""Residual networks: ResNet, ResNeXt (grouped) and SE (squeeze-and-excitation) variants.

ResNet-50 to 152 put the stride of a stage into its first 1x1 convolution, as published; those
called ``-v1-5``, and ResNeXt, into the 3x3 convolution. ``resnet-20`` and ``resnet-56`` are those
for 32x32 images, with projections where shapes differ (option B) in the place of padding
with zeros (option A): 272,474 parameters and 855,770. Here they read the 8x8 digits, repeated.
"""

from dataclasses import dataclass

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph

RESNET = "He, Zhang, Ren and Sun, CVPR 2016, table 1"
RESNEXT = "Xie et al., CVPR 2017, table 1"
CIFAR = "He, Zhang, Ren and Sun, CVPR 2016, section 4.2, with option B"
BAG = "He, Tong et al., CVPR 2019, section 4.1 (ResNet-D); as in timm"
WIDE = "Zagoruyko and Komodakis, BMVC 2016; torchvision"
SQUEEZE = "Hu, Shen and Sun, CVPR 2018, table 1"
CHANNELS = "Wang et al., CVPR 2020 (ECA-Net); sizes as in timm"
FULL, BY_CHANNELS = 1, 2
"""Ways to squeeze: by two layers over all channels, or by a short convolution along them."""
STAGES = {
    26: (2, 2, 2, 2),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
"""Residual blocks of each stage."""
BOTTLENECKED = STAGES.keys() - {18, 34}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tells one network of the family from another."""

    depth: int
    source: str = RESNET
    groups: int = 1
    width: int = 64
    """Channels of the 3x3 convolutions of the first stage."""
    late_stride: int = 0
    """1: the 3x3 convolution has the stride."""
    deep: int = 0
    """1: three 3x3 convolutions in the stem, and a projection reads means of 2x2 (ResNet-D)."""
    squeeze: int = 0
    """``FULL`` or ``BY_CHANNELS``: every residual passes a gate."""

    def options(self, stage: int) -> dict[str, int]:
        """Return the options of the bottlenecks of a stage."""
        return {
            "width": self.width << stage,
            "channels": 256 << stage,
            "groups": self.groups,
            "late_stride": self.late_stride,
            "squeeze": self.squeeze,
            "deep": self.deep,
        }


VARIANTS = {
    "resnet-18": Variant(depth=18),
    "resnet-34": Variant(depth=34),
    "resnet-50": Variant(depth=50),
    "resnet-50-v1-5": Variant(depth=50, late_stride=1, source=f"{RESNET}; stride in the 3x3"),
    "resnet-101": Variant(depth=101),
    "resnet-101-v1-5": Variant(depth=101, late_stride=1, source=f"{RESNET}; stride in the 3x3"),
    "resnet-152": Variant(depth=152),
    "resnet-152-v1-5": Variant(depth=152, late_stride=1, source=f"{RESNET}; stride in the 3x3"),
    "resnet-200": Variant(depth=200, late_stride=1, source=f"{RESNET}; depth as in timm"),
    "wide-resnet-50-2": Variant(depth=50, width=128, late_stride=1, source=WIDE),
    "wide-resnet-101-2": Variant(depth=101, width=128, late_stride=1, source=WIDE),
    "resnext-50-32x4d": Variant(depth=50, groups=32, width=128, late_stride=1, source=RESNEXT),
    "resnext-101-32x4d": Variant(depth=101, groups=32, width=128, late_stride=1, source=RESNEXT),
    "resnext-101-32x8d": Variant(depth=101, groups=32, width=256, late_stride=1, source=RESNEXT),
    "resnext-101-64x4d": Variant(depth=101, groups=64, width=256, late_stride=1, source=RESNEXT),
    "se-resnet-50": Variant(depth=50, squeeze=1, source=SQUEEZE),
    "se-resnext-50": Variant(
        depth=50, groups=32, width=128, late_stride=1, squeeze=1, source=SQUEEZE
    ),
    "se-resnext-101": Variant(
        depth=101, groups=32, width=128, late_stride=1, squeeze=1, source=SQUEEZE
    ),
}
VARIANTS |= {
    "eca-resnet-50d": Variant(
        depth=50, late_stride=1, deep=1, squeeze=BY_CHANNELS, source=CHANNELS
    ),
    "resnet-26": Variant(depth=26, late_stride=1, source=f"{RESNET}; depth as in timm"),
    "resnext-50d-32x4d": Variant(
        depth=50, groups=32, width=128, late_stride=1, deep=1, source=f"{RESNEXT}; {BAG}"
    ),
    "se-resnet-101": Variant(depth=101, squeeze=FULL, source=SQUEEZE),
    "se-resnet-152": Variant(depth=152, squeeze=FULL, source=SQUEEZE),
    "se-resnext-101-32x8d": Variant(
        depth=101, groups=32, width=256, late_stride=1, squeeze=FULL, source=SQUEEZE
    ),
}
VARIANTS |= {
    f"resnet-{depth}d": Variant(depth=depth, late_stride=1, deep=1, source=BAG) for depth in STAGES
}
SMALL = {"resnet-20": 3, "resnet-56": 9}
"""Residual blocks of each of the three stages for 32x32 images."""
NAMES = (*VARIANTS, *SMALL)


def build(name: str) -> ModelGraph:
    """Return one network of the family."""
    if name in SMALL:
        return _small(name)
    variant = VARIANTS[name]
    row = Row((3, 224, 224))
    row.add("stem", _deep_stem if variant.deep else _stem)
    for i, count in enumerate(STAGES[variant.depth]):
        body, options = _basic, {"channels": 64 << i, "deep": variant.deep}
        if variant.depth in BOTTLENECKED:
            body, options = _bottleneck, variant.options(i)
        row.add(f"stage{i + 1}.first", body, stride=1 if i == 0 else 2, **options)
        row.add(f"stage{i + 1}", body, count=count - 1, stride=1, **options)
    row.add("classifier", _classifier)
    return row.model(name, variant.source, NORM_GROUP)


def _small(name: str) -> ModelGraph:
    row = Row((3, 32, 32))
    row.add("stem", _small_stem)
    for i in range(3):
        row.add(f"stage{i + 1}.first", _basic, stride=1 if i == 0 else 2, channels=16 << i, deep=0)
        row.add(f"stage{i + 1}", _basic, count=SMALL[name] - 1, stride=1, channels=16 << i, deep=0)
    row.add("classifier", _classifier, classes=10)
    return row.model(name, CIFAR, NORM_GROUP, record_shape=(8, 8), full_scale=16)


def _small_stem(b: BlockBuilder, x: Value) -> Value:
    return b.conv_norm_relu("conv1", x, 16, 3, pad=1)


def _stem(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_norm_relu("conv1", x, 64, 7, stride=2, pad=3)
    return b.layer("pool1", "max_pool", x, window=3, stride=2, pad=1)


def _deep_stem(b: BlockBuilder, x: Value) -> Value:
    for i, channels in enumerate((32, 32, 64), 1):
        x = b.conv_norm_relu(f"conv{i}", x, channels, 3, stride=2 if i == 1 else 1, pad=1)
    return b.layer("pool1", "max_pool", x, window=3, stride=2, pad=1)


def _joined(b: BlockBuilder, x: Value, residual: Value, stride: int, deep: int) -> Value:
    """Add the residual to the input, projected where their shapes differ, and rectify."""
    if x.shape != residual.shape:
        if deep and stride > 1:
            x, stride = b.layer("mean", "avg_pool", x, window=stride), 1
        x = b.conv_norm("project", x, residual.shape[0], 1, stride=stride)
    return b.layer("relu", "relu", b.layer("add", "add", residual, x))


def _basic(b: BlockBuilder, x: Value, *, channels: int, stride: int, deep: int) -> Value:
    y = b.conv_norm_relu("conv1", x, channels, 3, stride=stride, pad=1)
    y = b.conv_norm("conv2", y, channels, 3, pad=1)
    return _joined(b, x, y, stride, deep)


def _bottleneck(b: BlockBuilder, x: Value, *, stride: int, **options: int) -> Value:
    late = stride if options["late_stride"] else 1
    y = b.conv_norm_relu("conv1", x, options["width"], 1, stride=stride // late)
    y = b.conv_norm_relu(
        "conv2", y, options["width"], 3, stride=late, pad=1, groups=options["groups"]
    )
    y = b.conv_norm("conv3", y, options["channels"], 1)
    if options["squeeze"]:
        y = excited(b, y) if options["squeeze"] == FULL else _weighted(b, y)
    return _joined(b, x, y, stride, options["deep"])


def excited(b: BlockBuilder, x: Value, reduction: int = 16) -> Value:
    """Scale every channel by what two small layers make of the means of all channels."""
    channels, side, _ = x.shape
    s = b.layer("squeeze", "avg_pool", x, window=side)
    s = b.conv_relu("squeeze_down", s, channels // reduction, 1)
    s = b.layer("squeeze_gate", "sigmoid", b.conv("squeeze_up", s, channels, 1))
    return b.layer("gate", "gate", x, s)


def _weighted(b: BlockBuilder, x: Value) -> Value:
    """Scale every channel by the sigmoid of its mean.

    The convolution of 3 to 7 weights along the means is left out.
    """
    s = b.layer("squeeze", "avg_pool", x, window=x.shape[1])
    return b.layer("gate", "gate", x, b.layer("squeeze_gate", "sigmoid", s))


def _classifier(b: BlockBuilder, x: Value, *, classes: int = 1000) -> Value:
    x = b.layer("pool", "avg_pool", x, window=x.shape[1])
    return b.layer("output", "linear", b.layer("flat", "flatten", x), features=classes)
