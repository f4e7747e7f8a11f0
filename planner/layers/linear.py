"""Fully connected layer: ``y = x w + b`` with ``w`` of shape (in, out), token by token."""

from dataclasses import replace

from hwprofiles.tiles import product
from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape, *, features: int) -> Shape:
    """Return ``(features,)``, or ``(S, features)`` for tokens ``(S, F)``."""
    return (*in_shape[:-1], features)


def parameters(in_shape: Shape, *, features: int) -> dict[str, Shape]:
    """Weights ``(in, out)`` and one bias a feature."""
    return {"w": (in_shape[-1], features), "b": (features,)}


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    inputs, outputs = layer.in_shape[-1], layer.out_shape[-1]
    elements = layer.elements("x", samples)
    return replace(
        layer.op(phase, samples, dtype, arguments, flop=2 * elements * outputs),
        work_class="linear",
        product=product(phase, elements // inputs, inputs, outputs),
    )


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x w + b``."""
    return _call(layer, samples, dtype, "forward", "x w b -> y")


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dw = x^T dy``, ``db`` = column sums of ``dy``."""
    return _call(layer, samples, dtype, "weight_grad", "x dy -> dw db")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy w^T``."""
    return _call(layer, samples, dtype, "input_grad", "dy w -> dx")
