"""Maximum over square windows that may overlap and reach over the edge (``pad``)."""

from planner.layer import Layer, Shape
from planner.layers.conv2d import places
from planner.opcall import OpCall


def out_shape(
    in_shape: Shape, *, window: int, stride: int = 0, pad: int = 0, ceil: int = 0
) -> Shape:
    """Return ``(C, P, Q)``; with ``ceil`` a last window may hang over the far edge.

    ``stride`` 0 is the window. Such a last window must begin inside the padded map.
    """
    channels, *sides = in_shape
    step = stride or window
    found = []
    for side in sides:
        count = places(side, window, step, pad)
        hangs = ceil and (count - 1) * step + window < side + 2 * pad and count * step < side + pad
        found.append(count + 1 if hangs else count)
    return (channels, *found)


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y`` = largest of each window of ``x``; one FLOP a place of a window."""
    return _call(layer, samples, dtype, "forward", "x -> y")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx`` = ``dy`` where ``x`` is the largest of a window, summed; one FLOP a place."""
    return _call(layer, samples, dtype, "input_grad", "x y dy -> dx ~ work")


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    flop = layer.elements("y", samples) * dict(layer.attrs)["window"] ** 2
    return layer.op(
        phase, samples, dtype, arguments, flop=flop, attrs=layer.attrs, others={"work": (samples,)}
    )
