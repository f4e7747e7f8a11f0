"""EfficientNet and EfficientNetV2: inverted bottlenecks with squeeze-and-excitation and SiLU.

B0 to B7 are one network in several widths, depths and sizes of image: 5,288,548 to 66,347,960
parameters. ``efficientnet-widese-b0`` and ``-b4`` are those of NVIDIA DeepLearningExamples, whose
squeeze is a quarter of the expanded channels in the place of the block's input channels. In V2 the
first stages have plain 3x3 convolutions where the others have 1x1 and depthwise ones (fused); it is
built in its size for training. Borders are even, where TensorFlow pads one side more, and no block
is dropped at random (stochastic depth).
"""

from dataclasses import dataclass, replace
from math import ceil

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph
from planner.models.mobilenet_v2 import multiple_of_8

FIRST = "Tan and Le, ICML 2019, table 1 and section 3.3; dropout and sizes of their code"
WIDE = "Tan and Le, ICML 2019; squeeze as in NVIDIA DeepLearningExamples"
SECOND = "Tan and Le, ICML 2021, table 4; dropout and sizes of their code"


@dataclass(frozen=True, slots=True)
class Stage:
    """Equal blocks in a row; only the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int
    fused: int = 0
    """1: plain convolutions and no squeeze."""


ONE = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
SMALL = (
    Stage(2, 3, 1, 1, 24, fused=1),
    Stage(4, 3, 2, 4, 48, fused=1),
    Stage(4, 3, 2, 4, 64, fused=1),
    Stage(6, 3, 2, 4, 128),
    Stage(9, 3, 1, 6, 160),
    Stage(15, 3, 2, 6, 256),
)
MEDIUM = (
    Stage(3, 3, 1, 1, 24, fused=1),
    Stage(5, 3, 2, 4, 48, fused=1),
    Stage(5, 3, 2, 4, 80, fused=1),
    Stage(7, 3, 2, 4, 160),
    Stage(14, 3, 1, 6, 176),
    Stage(18, 3, 2, 6, 304),
    Stage(5, 3, 1, 6, 512),
)
LARGE = (
    Stage(4, 3, 1, 1, 32, fused=1),
    Stage(7, 3, 2, 4, 64, fused=1),
    Stage(7, 3, 2, 4, 96, fused=1),
    Stage(10, 3, 2, 4, 192),
    Stage(19, 3, 1, 6, 224),
    Stage(25, 3, 2, 6, 384),
    Stage(7, 3, 1, 6, 640),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tells one network of the family from another."""

    side: int
    dropout: int
    """Percent before the output."""
    width: float = 1.0
    depth: float = 1.0
    stages: tuple[Stage, ...] = ONE
    stem: int = 32
    wide: int = 0
    """1: the squeeze is a quarter of the expanded channels."""
    source: str = FIRST


VARIANTS = {
    "efficientnet-b0": Variant(side=224, dropout=20),
    "efficientnet-b1": Variant(side=240, dropout=20, depth=1.1),
    "efficientnet-b2": Variant(side=260, dropout=30, width=1.1, depth=1.2),
    "efficientnet-b3": Variant(side=300, dropout=30, width=1.2, depth=1.4),
    "efficientnet-b4": Variant(side=380, dropout=40, width=1.4, depth=1.8),
    "efficientnet-b5": Variant(side=456, dropout=40, width=1.6, depth=2.2),
    "efficientnet-b6": Variant(side=528, dropout=50, width=1.8, depth=2.6),
    "efficientnet-b7": Variant(side=600, dropout=50, width=2.0, depth=3.1),
    "efficientnet-v2-s": Variant(side=300, dropout=20, stages=SMALL, stem=24, source=SECOND),
    "efficientnet-v2-m": Variant(side=384, dropout=30, stages=MEDIUM, stem=24, source=SECOND),
    "efficientnet-v2-l": Variant(side=384, dropout=40, stages=LARGE, stem=32, source=SECOND),
}
VARIANTS |= {
    f"efficientnet-widese-{size}": replace(VARIANTS[f"efficientnet-{size}"], wide=1, source=WIDE)
    for size in ("b0", "b4")
}
NAMES = tuple(VARIANTS)


def build(name: str) -> ModelGraph:
    """Return one network of the family."""
    variant = VARIANTS[name]
    row = Row((3, variant.side, variant.side))
    row.add("stem", _stem, channels=multiple_of_8(variant.stem * variant.width))
    for i, stage in enumerate(variant.stages, 1):
        options = {
            "kernel": stage.kernel,
            "expansion": stage.expansion,
            "channels": multiple_of_8(stage.channels * variant.width),
        }
        body = _fused if stage.fused else _inverted
        if not stage.fused:
            options["wide"] = variant.wide
        blocks = ceil(stage.blocks * variant.depth)
        row.add(f"stage{i}.first", body, stride=stage.stride, **options)
        if blocks > 1:
            row.add(f"stage{i}", body, count=blocks - 1, stride=1, **options)
    head = multiple_of_8(1280 * variant.width)
    row.add("classifier", _classifier, channels=head, dropout=variant.dropout)
    return row.model(name, variant.source, NORM_GROUP)


def _conv(b: BlockBuilder, name: str, x: Value, channels: int, kernel: int, **attrs: int) -> Value:
    """Append a convolution that keeps the size but for its stride, normalisation and SiLU."""
    x = b.conv_norm(name, x, channels, kernel, pad=kernel // 2, **attrs)
    return b.layer(f"{name}_silu", "silu", x)


def _stem(b: BlockBuilder, x: Value, *, channels: int) -> Value:
    return _conv(b, "conv1", x, channels, 3, stride=2)


def _inverted(
    b: BlockBuilder,
    x: Value,
    *,
    kernel: int,
    expansion: int,
    channels: int,
    stride: int,
    wide: int,
) -> Value:
    inputs = x.shape[0]
    expanded = inputs * expansion
    y = _conv(b, "expand", x, expanded, 1) if expansion > 1 else x
    y = _conv(b, "depthwise", y, expanded, kernel, stride=stride, groups=expanded)
    y = _excited(b, y, (expanded if wide else inputs) // 4)
    y = b.conv_norm("project", y, channels, 1)
    return b.layer("add", "add", y, x) if y.shape == x.shape else y


def _fused(
    b: BlockBuilder, x: Value, *, kernel: int, expansion: int, channels: int, stride: int
) -> Value:
    if expansion == 1:
        y = _conv(b, "conv", x, channels, kernel, stride=stride)
    else:
        y = _conv(b, "expand", x, x.shape[0] * expansion, kernel, stride=stride)
        y = b.conv_norm("project", y, channels, 1)
    return b.layer("add", "add", y, x) if y.shape == x.shape else y


def _excited(b: BlockBuilder, x: Value, squeezed: int) -> Value:
    """Scale every channel by what two small layers make of the means of all channels."""
    channels, side, _ = x.shape
    s = b.layer("squeeze", "avg_pool", x, window=side)
    s = b.layer("squeeze_silu", "silu", b.conv("squeeze_down", s, squeezed, 1))
    s = b.layer("squeeze_gate", "sigmoid", b.conv("squeeze_up", s, channels, 1))
    return b.layer("gate", "gate", x, s)


def _classifier(b: BlockBuilder, x: Value, *, channels: int, dropout: int) -> Value:
    x = _conv(b, "conv", x, channels, 1)
    x = b.layer("flat", "flatten", b.layer("pool", "avg_pool", x, window=x.shape[1]))
    x = b.layer("dropout", "dropout", x, percent=dropout)
    return b.layer("output", "linear", x, features=1000)
