"""DenseNet: every layer of a stage reads the outputs of all before it.

Source: Huang, Liu, van der Maaten and Weinberger, CVPR 2017, table 1. 7,978,856 to 28,681,000
parameters.
"""

from dataclasses import dataclass

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph


@dataclass(frozen=True, slots=True)
class Variant:
    """What tells one network of the family from another."""

    stages: tuple[int, ...]
    """Dense layers of each stage."""
    growth: int
    """Channels that a dense layer adds."""


VARIANTS = {
    "densenet-121": Variant((6, 12, 24, 16), 32),
    "densenet-161": Variant((6, 12, 36, 24), 48),
    "densenet-169": Variant((6, 12, 32, 32), 32),
    "densenet-201": Variant((6, 12, 48, 32), 32),
}
NAMES = tuple(VARIANTS)


def build(name: str) -> ModelGraph:
    """Return one of the DenseNets."""
    variant = VARIANTS[name]
    row = Row((3, 224, 224))
    row.add("stem", _stem, channels=2 * variant.growth)
    for i, layers in enumerate(variant.stages, 1):
        if i > 1:
            row.add(f"transition{i - 1}", _transition)
        for k in range(1, layers + 1):
            row.add(f"dense{i}.{k}", _dense, growth=variant.growth)
    row.add("classifier", _classifier)
    return row.model(name, "Huang et al., CVPR 2017, table 1", NORM_GROUP)


def _stem(b: BlockBuilder, x: Value, *, channels: int) -> Value:
    x = b.conv_norm_relu("conv1", x, channels, 7, stride=2, pad=3)
    return b.layer("pool1", "max_pool", x, window=3, stride=2, pad=1)


def _dense(b: BlockBuilder, x: Value, *, growth: int) -> Value:
    y = b.norm_relu("norm1", x)
    y = b.conv_norm_relu("conv1", y, 4 * growth, 1)
    y = b.conv("conv2", y, growth, 3, pad=1, bias=0)
    return b.layer("out", "concat", x, y)


def _transition(b: BlockBuilder, x: Value) -> Value:
    x = b.conv("conv", b.norm_relu("norm", x), x.shape[0] // 2, 1, bias=0)
    return b.layer("pool", "avg_pool", x, window=2)


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("pool", "avg_pool", b.norm_relu("norm", x), window=7)
    return b.layer("output", "linear", b.layer("flat", "flatten", x), features=1000)
