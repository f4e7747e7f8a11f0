"""Several inputs one after the other along the channels of maps, or the features of others."""

from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(*in_shapes: Shape) -> Shape:
    """Return ``(C0 + C1 + ..., H, W)``, or ``(S, F0 + F1 + ...)`` for tokens."""
    at = 1 if len(in_shapes[0]) == 2 else 0
    ((before, after),) = {(shape[:at], shape[at + 1 :]) for shape in in_shapes}
    return (*before, sum(shape[at] for shape in in_shapes), *after)


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Copy every input to its channels of ``y``."""
    return layer.op("forward", samples, dtype, f"{' '.join(layer.input_names)} -> y", flop=0)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Copy the channels of ``dy`` to ``dx0``, ``dx1``, ..."""
    written = " ".join(f"d{name}" for name in layer.input_names)
    return layer.op("input_grad", samples, dtype, f"dy -> {written}", flop=0)
