"""Logits from the table of an embedding: ``y = x w^T``, where ``w`` is the embedding's own.

Source: Press and Wolf, EACL 2017 (tied weights). The table is one parameter, counted, exchanged and
updated once, with the embedding that the layer is ``tied`` to. Its gradient is the sum of both: the
backward pass meets this layer first, which writes its share, and the embedding adds its own to it.
"""

from dataclasses import replace

from hwprofiles.tiles import product
from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape, *, vocab: int, bias: int = 0) -> Shape:
    """Return ``(S, vocab)`` for tokens ``(S, F)``."""
    return (*in_shape[:-1], vocab)


def parameters(in_shape: Shape, *, vocab: int, bias: int = 0) -> dict[str, Shape]:
    """One bias a token of the vocabulary, where there are biases; nothing else is its own."""
    return {"b": (vocab,)} if bias else {}


def borrowed(in_shape: Shape, *, vocab: int, bias: int = 0) -> dict[str, Shape]:
    """Return the parameters that belong to the layer it is tied to."""
    return {"w": (vocab, in_shape[-1])}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x w^T``, and ``+ b``."""
    return _call(layer, samples, dtype, "forward", f"x w{_b(layer, ' b')} -> y")


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dw = dy^T x``, and ``db`` = column sums of ``dy``."""
    return _call(layer, samples, dtype, "weight_grad", f"x dy -> dw{_b(layer, ' db')}")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy w``."""
    return _call(layer, samples, dtype, "input_grad", "dy w -> dx")


def _b(layer: Layer, name: str) -> str:
    return name if layer.parameters else ""


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    inputs, outputs = layer.in_shape[-1], layer.out_shape[-1]
    elements = layer.elements("x", samples)
    return replace(
        layer.op(phase, samples, dtype, arguments, flop=2 * elements * outputs),
        work_class="linear",
        product=product(phase, elements // inputs, inputs, outputs),
    )
