"""Normalisation of every token by itself, a scale ``w`` and a shift ``b`` for each feature.

Source: Ba, Kiros and Hinton, arXiv:1607.06450, 2016. ``stats`` keeps mean and inverse deviation of
every token for the backward pass. No two samples share anything, so no norm group.
"""

from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape) -> Shape:
    """Return the shape of the input, ``(S, F)`` or ``(F,)``."""
    return in_shape


def parameters(in_shape: Shape) -> dict[str, Shape]:
    """Scale and shift of each feature."""
    return {"w": in_shape[-1:], "b": in_shape[-1:]}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Mean (1 FLOP an element), variance (3), ``y = w (x - mean) / deviation + b`` (3)."""
    return _call(layer, samples, dtype, "forward", "x w b -> y stats", 7)


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``db`` = sums of ``dy`` (1), ``dw`` = sums of ``dy (x - mean) / deviation`` (4)."""
    return _call(layer, samples, dtype, "weight_grad", "x dy stats -> dw db", 5)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = (g - mean g - z mean(g z)) / deviation`` with ``g = w dy``, ``z`` normalised; 10."""
    return _call(layer, samples, dtype, "input_grad", "x dy w stats -> dx", 10)


def _call(
    layer: Layer, samples: int, dtype: str, phase: str, arguments: str, per_element: int
) -> OpCall:
    *tokens, _ = layer.in_shape
    return layer.op(
        phase,
        samples,
        dtype,
        arguments,
        flop=per_element * layer.elements("y", samples),
        others={"stats": (2, samples, *tokens)},
    )
