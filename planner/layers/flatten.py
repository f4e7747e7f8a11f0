"""Maps ``(C, H, W, n)`` to vectors ``(n, C H W)``: a copy, since the batch axis moves."""

from math import prod

from planner.model import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape) -> Shape:
    """Return ``(C H W,)``."""
    return (prod(in_shape),)


def parameters(in_shape: Shape) -> dict[str, Shape]:
    """Return none."""
    return {}


def _call(layer: Layer, samples: int, dtype: str, phase: str, names: str) -> OpCall:
    read, write = (layer.tensor(name, samples, dtype) for name in names.split())
    return OpCall(
        kernel=f"flatten.{phase}",
        op_class="flatten",
        dtype=dtype,
        flop=0,
        reads=(read,),
        writes=(write,),
    )


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y[n, (c, h, w)] = x[c, h, w, n]``."""
    return _call(layer, samples, dtype, "forward", "x y")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx[c, h, w, n] = dy[n, (c, h, w)]``."""
    return _call(layer, samples, dtype, "input_grad", "dy dx")
