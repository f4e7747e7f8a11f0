"""Dropout. Source: Srivastava et al., J. Machine Learning Research 15 (2014).

The mask is a function of seed, step, layer, place in the global batch and element, so every plan
draws the same. It is kept, a byte an element, though it could be drawn again: to draw a mask took
twice as long as to use it (float32 vectors, one core of a Sapphire Rapids Xeon), so keeping it
divides the backward pass by three, for a quarter of the bytes that working in place saves.
"""

from dataclasses import replace

from planner.layer import Layer, Shape
from planner.opcall import PIECE, OpCall, Tensor

IN_PLACE = True
TRAINING_ONLY = True
LANES = 4
"""Elements that one random word of 64 bits serves."""


def out_shape(in_shape: Shape, *, percent: int = 50) -> Shape:
    """Return the shape of the input."""
    return in_shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x / (1 - percent / 100)`` where the mask keeps it, else 0; two FLOP an element."""
    call = _call(layer, samples, dtype, "forward", "x -> y")
    work = Tensor(name="work", shape=(2, PIECE // LANES), dtype="int64")
    return replace(call, writes=(*call.writes, _mask(layer, samples)), work=(work,))


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx`` from ``dy`` as ``y`` from ``x``; two FLOP an element."""
    call = _call(layer, samples, dtype, "input_grad", "dy -> dx")
    return replace(call, reads=(_mask(layer, samples), *call.reads))


def _mask(layer: Layer, samples: int) -> Tensor:
    shape = layer.tensor("y", samples, "uint8").shape
    return Tensor(name="mask", shape=shape, dtype="uint8")


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    flop = 2 * layer.elements("y", samples)
    percent = dict(layer.attrs).get("percent", 50)
    attrs = (("percent", percent),)
    return layer.op(phase, samples, dtype, arguments, flop=flop, attrs=attrs)
