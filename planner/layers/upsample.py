"""Maps enlarged by a whole factor, every place repeated (nearest neighbour), as U-Nets decode."""

from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape, *, factor: int = 2) -> Shape:
    """Return ``(C, factor H, factor W)``."""
    channels, *sides = in_shape
    return (channels, *(factor * side for side in sides))


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y[c, p, q] = x[c, p // factor, q // factor]``: a copy."""
    return layer.op("forward", samples, dtype, "x -> y", flop=0, attrs=_attrs(layer))


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx`` = sum of ``dy`` over the places that repeat it; one FLOP an addition."""
    flop = layer.elements("y", samples) - layer.elements("x", samples)
    return layer.op("input_grad", samples, dtype, "dy -> dx", flop=flop, attrs=_attrs(layer))


def _attrs(layer: Layer) -> tuple[tuple[str, int], ...]:
    return (("factor", dict(layer.attrs).get("factor", 2)),)
