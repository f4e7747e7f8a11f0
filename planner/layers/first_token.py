"""The first token of a sample as a vector: what BERT's pooler reads. ``(S, F)`` to ``(F,)``."""

from dataclasses import replace

from planner.layer import Layer, Shape
from planner.opcall import DTYPE_BYTES, OpCall


def out_shape(in_shape: Shape) -> Shape:
    """Return ``(F,)``."""
    return in_shape[1:]


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x[0]``, a copy; the other tokens are not read."""
    call = layer.op("forward", samples, dtype, "x -> y", flop=0)
    others = layer.elements("x", samples) - layer.elements("y", samples)
    return replace(call, untouched_bytes=others * DTYPE_BYTES[dtype])


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx[0] = dy``, zeros elsewhere."""
    return layer.op("input_grad", samples, dtype, "dy -> dx", flop=0)
