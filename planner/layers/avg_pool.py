"""Mean over square windows; without a stride they are disjoint, as LeNet's subsampling."""

from planner.layer import Layer, Shape
from planner.layers.conv2d import places
from planner.opcall import OpCall


def out_shape(in_shape: Shape, *, window: int, stride: int = 0, pad: int = 0) -> Shape:
    """Return ``(C, P, Q)``; ``stride`` 0 is the window."""
    channels, *sides = in_shape
    return (channels, *(places(side, window, stride or window, pad) for side in sides))


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y`` = mean of each window of ``x``; one FLOP a place of a window."""
    return _call(layer, samples, dtype, "forward", "x -> y")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx`` = ``dy / window^2`` spread over each window; one FLOP a place of a window."""
    return _call(layer, samples, dtype, "input_grad", "dy -> dx")


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    flop = layer.elements("y", samples) * dict(layer.attrs)["window"] ** 2
    return layer.op(phase, samples, dtype, arguments, flop=flop, attrs=layer.attrs)
