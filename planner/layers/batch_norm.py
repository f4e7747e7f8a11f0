"""Batch normalisation of maps, a scale ``w`` and a shift ``b`` for each channel.

Source: Ioffe and Szegedy, ICML 2015. The statistics are those of every ``group`` samples, whatever
the plan; ``stats`` keeps mean and inverse deviation for the backward pass.
"""

from dataclasses import replace
from math import prod

from planner.layer import NORM_GROUP, Layer, Shape
from planner.opcall import DTYPE_BYTES, PIECE, OpCall


def out_shape(in_shape: Shape, *, group: int = NORM_GROUP) -> Shape:
    """Return the shape of the input."""
    return in_shape


def parameters(in_shape: Shape, *, group: int = NORM_GROUP) -> dict[str, Shape]:
    """Scale and shift of each channel."""
    return {"w": in_shape[:1], "b": in_shape[:1]}


def moments(in_shape: Shape, *, group: int = NORM_GROUP) -> dict[str, Shape]:
    """Mean and variance of each channel over the training set, shipped with a trained model.

    A step neither reads nor writes them; they are counted where models are compared.
    """
    return {"mean": in_shape[:1], "var": in_shape[:1]}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Mean (1 FLOP an element), variance (3), ``y = a x + c`` (2); reads ``x`` twice."""
    return _call(layer, samples, dtype, "forward", "x w b -> y stats ~ work", 6)


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``db`` = sums of ``dy`` (1), ``dw`` = sums of ``dy (x - mean) / deviation`` (3).

    ``sums`` are the same for each group of samples.
    """
    return _call(layer, samples, dtype, "weight_grad", "x dy stats -> dw db sums ~ work", 4)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = a (dy - c - (x - mean) d)`` with ``c`` and ``d`` from ``sums``; 5 FLOP an element."""
    return _call(layer, samples, dtype, "input_grad", "x dy w stats sums -> dx ~ work", 5)


def _call(
    layer: Layer, samples: int, dtype: str, phase: str, arguments: str, per_element: int
) -> OpCall:
    group = dict(layer.attrs).get("group", NORM_GROUP)
    pairs = (2, layer.in_shape[0], max(1, samples // group))
    one_channel = prod(layer.in_shape[1:]) * min(group, samples)
    room = min(max(PIECE, one_channel), layer.in_shape[0] * one_channel)
    call = layer.op(
        phase,
        samples,
        dtype,
        arguments,
        flop=per_element * layer.elements("y", samples),
        attrs=(("group", group),),
        others={"stats": pairs, "sums": pairs, "work": (room,)},
    )
    again = layer.elements("x", samples) * DTYPE_BYTES[dtype] if phase == "forward" else 0
    return replace(call, reread_bytes=again)
