"""Maps scaled channel by channel: what a squeeze-and-excitation block does to its input.

Source: Hu, Shen and Sun, CVPR 2018, eq. 4. ``x0`` is ``(C, H, W)``, ``x1`` a factor above 0 for
each channel, ``(C, 1, 1)``.
"""

from planner.layer import Layer, Shape
from planner.opcall import OpCall

IN_PLACE = True


def out_shape(maps: Shape, factors: Shape) -> Shape:
    """Return the shape of the maps."""
    return maps


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x0 x1``, one FLOP an element."""
    return layer.op("forward", samples, dtype, "x0 x1 -> y", flop=layer.elements("y", samples))


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx1`` = sums of ``dy y / x1`` (which needs no ``x0``), ``dx0 = dy x1``; three FLOP."""
    flop = 3 * layer.elements("y", samples)
    return layer.op("input_grad", samples, dtype, "y x1 dy -> dx0 dx1", flop=flop)
