"""MobileNetV3, large and small: inverted residuals, of which some are squeezed and excited.

Hard swish is counted as SiLU and the hard sigmoid as the sigmoid that it stands for. Source: Howard
et al., ICCV 2019, tables 1 and 2; 5,483,032 and 2,542,856 parameters.
"""

from typing import NamedTuple

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph
from planner.models.mobilenet_v2 import multiple_of_8


class Inverted(NamedTuple):
    """One inverted residual."""

    kernel: int
    expanded: int
    channels: int
    squeezed: int
    swish: int
    stride: int


LARGE = (
    Inverted(3, 16, 16, 0, 0, 1),
    Inverted(3, 64, 24, 0, 0, 2),
    Inverted(3, 72, 24, 0, 0, 1),
    Inverted(5, 72, 40, 1, 0, 2),
    Inverted(5, 120, 40, 1, 0, 1),
    Inverted(5, 120, 40, 1, 0, 1),
    Inverted(3, 240, 80, 0, 1, 2),
    Inverted(3, 200, 80, 0, 1, 1),
    Inverted(3, 184, 80, 0, 1, 1),
    Inverted(3, 184, 80, 0, 1, 1),
    Inverted(3, 480, 112, 1, 1, 1),
    Inverted(3, 672, 112, 1, 1, 1),
    Inverted(5, 672, 160, 1, 1, 2),
    Inverted(5, 960, 160, 1, 1, 1),
    Inverted(5, 960, 160, 1, 1, 1),
)
SMALL = (
    Inverted(3, 16, 16, 1, 0, 2),
    Inverted(3, 72, 24, 0, 0, 2),
    Inverted(3, 88, 24, 0, 0, 1),
    Inverted(5, 96, 40, 1, 1, 2),
    Inverted(5, 240, 40, 1, 1, 1),
    Inverted(5, 240, 40, 1, 1, 1),
    Inverted(5, 120, 48, 1, 1, 1),
    Inverted(5, 144, 48, 1, 1, 1),
    Inverted(5, 288, 96, 1, 1, 2),
    Inverted(5, 576, 96, 1, 1, 1),
    Inverted(5, 576, 96, 1, 1, 1),
)
HEADS = {"mobilenet-v3": (LARGE, 960, 1280), "mobilenet-v3-small": (SMALL, 576, 1024)}
"""Blocks, channels of the last convolution, and of the layer after the mean."""
NAMES = tuple(HEADS)


def build(name: str) -> ModelGraph:
    """Return one of the two."""
    blocks, last, hidden = HEADS[name]
    row = Row((3, 224, 224))
    row.add("stem", _stem)
    for i, block in enumerate(blocks, 1):
        row.add(f"block{i}", _inverted, **block._asdict())
    row.add("classifier", _classifier, last=last, hidden=hidden)
    return row.model(name, "Howard et al., ICCV 2019, tables 1 and 2", NORM_GROUP)


def _activated(b: BlockBuilder, name: str, x: Value, swish: int) -> Value:
    kind = "silu" if swish else "relu"
    return b.layer(f"{name}_{kind}", kind, x)


def _stem(b: BlockBuilder, x: Value) -> Value:
    return _activated(b, "conv1", b.conv_norm("conv1", x, 16, 3, stride=2, pad=1), 1)


def _inverted(b: BlockBuilder, x: Value, **of: int) -> Value:
    wide, pad, y = of["expanded"], of["kernel"] // 2, x
    if wide != x.shape[0]:
        y = _activated(b, "expand", b.conv_norm("expand", y, wide, 1), of["swish"])
    y = b.conv_norm("depthwise", y, wide, of["kernel"], stride=of["stride"], pad=pad, groups=wide)
    y = _activated(b, "depthwise", y, of["swish"])
    if of["squeezed"]:
        y = _excited(b, y, multiple_of_8(wide / 4))
    y = b.conv_norm("project", y, of["channels"], 1)
    return b.layer("add", "add", y, x) if y.shape == x.shape else y


def _excited(b: BlockBuilder, x: Value, squeezed: int) -> Value:
    s = b.layer("squeeze", "avg_pool", x, window=x.shape[1])
    s = b.conv_relu("squeeze_down", s, squeezed, 1)
    s = b.layer("squeeze_gate", "sigmoid", b.conv("squeeze_up", s, x.shape[0], 1))
    return b.layer("gate", "gate", x, s)


def _classifier(b: BlockBuilder, x: Value, *, last: int, hidden: int) -> Value:
    x = _activated(b, "conv", b.conv_norm("conv", x, last, 1), 1)
    x = b.layer("flat", "flatten", b.layer("pool", "avg_pool", x, window=x.shape[1]))
    x = _activated(b, "hidden", b.layer("hidden", "linear", x, features=hidden), 1)
    x = b.layer("dropout", "dropout", x, percent=20)
    return b.layer("output", "linear", x, features=1000)
