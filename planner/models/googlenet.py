"""GoogLeNet: Inception modules of four branches, without its two auxiliary classifiers.

The auxiliary classifiers serve training alone and are left out, as in most implementations:
6,998,552 parameters. The table of convnet-burden has them in its 51 MB (6.4 million more).
"""

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph

NAMES = ("googlenet",)
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool projection (table 1)."""


def build(name: str) -> ModelGraph:
    """Return GoogLeNet."""
    row = Row((3, 224, 224))
    row.add("stem", _stem)
    for module, widths in MODULES.items():
        if module in ("4a", "5a"):
            row.add(f"pool{int(module[0]) - 1}", _pool)
        row.add(f"inception{module}", _inception, **dict(zip(WIDTHS, widths, strict=True)))
    row.add("classifier", _classifier)
    return row.model(name, "Szegedy et al., CVPR 2015, table 1")


WIDTHS = ("one", "reduce3", "three", "reduce5", "five", "project")


def _pool(b: BlockBuilder, x: Value) -> Value:
    return b.layer("max", "max_pool", x, window=3, stride=2, ceil=1)


def _stem(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_relu("conv1", x, 64, 7, stride=2, pad=3)
    x = b.layer("pool1", "max_pool", x, window=3, stride=2, ceil=1)
    x = b.layer("norm1", "lrn", x, size=5)
    x = b.conv_relu("conv2_reduce", x, 64, 1)
    x = b.conv_relu("conv2", x, 192, 3, pad=1)
    x = b.layer("norm2", "lrn", x, size=5)
    return b.layer("pool2", "max_pool", x, window=3, stride=2, ceil=1)


def _inception(b: BlockBuilder, x: Value, **widths: int) -> Value:
    one = b.conv_relu("one", x, widths["one"], 1)
    three = b.conv_relu("reduce3", x, widths["reduce3"], 1)
    three = b.conv_relu("three", three, widths["three"], 3, pad=1)
    five = b.conv_relu("reduce5", x, widths["reduce5"], 1)
    five = b.conv_relu("five", five, widths["five"], 5, pad=2)
    pool = b.layer("pool", "max_pool", x, window=3, stride=1, pad=1)
    pool = b.conv_relu("project", pool, widths["project"], 1)
    return b.layer("out", "concat", one, three, five, pool)


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("pool", "avg_pool", x, window=7)
    x = b.layer("dropout", "dropout", b.layer("flat", "flatten", x), percent=40)
    return b.layer("output", "linear", x, features=1000)
