"""Hyperbolic tangent, elementwise."""

from planner.model import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape) -> Shape:
    """Return the shape of the input."""
    return in_shape


def parameters(in_shape: Shape) -> dict[str, Shape]:
    """Return none."""
    return {}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = tanh(x)``, counted as one FLOP an element."""
    x, y = (layer.tensor(name, samples, dtype) for name in "xy")
    return OpCall(
        kernel="tanh.forward",
        op_class="tanh_forward",
        dtype=dtype,
        flop=x.elements,
        reads=(x,),
        writes=(y,),
    )


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy (1 - y^2)``, three FLOP an element."""
    y, dy, dx = (layer.tensor(name, samples, dtype) for name in ("y", "dy", "dx"))
    return OpCall(
        kernel="tanh.input_grad",
        op_class="tanh_input_grad",
        dtype=dtype,
        flop=3 * y.elements,
        reads=(y, dy),
        writes=(dx,),
    )
