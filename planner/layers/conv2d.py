"""Convolution as one matmul over gathered columns (im2col).

The columns ``cols[c, i, j, p, q, n] = x[c, p s + i - pad, q s + j - pad, n]`` are written by the
forward pass and kept for the weight gradient. Source of the method: Chellapilla, Puri and Simard,
ICFHR 2006.

ASSUMES: columns on every device. Libraries of GPUs gather them inside the matmul (implicit GEMM),
keep none and read ``x`` again for the weight gradient, so their memory is overstated here.
"""

from math import prod

from planner.layer import Layer, Shape
from planner.opcall import Attrs, OpCall

ATTRIBUTES = {"channels": True, "kernel": True} | dict.fromkeys(
    ("kernel_w", "stride", "pad", "pad_w", "groups", "bias"), False
)
"""Attributes; true: it must be given."""


def places(side: int, window: int, stride: int, pad: int) -> int:
    """Return how often a window fits into a padded side.

    >>> places(224, 7, 2, 3)
    112
    """
    return (side + 2 * pad - window) // stride + 1


def _geometry(attrs: dict[str, int]) -> dict[str, int]:
    """Return all attributes; ``kernel_w`` and ``pad_w`` are those of the rows unless given."""
    given = {"stride": 1, "pad": 0, "groups": 1, "bias": 1} | attrs
    found = {"kernel_w": given["kernel"], "pad_w": given["pad"]} | given
    assert found.keys() == ATTRIBUTES.keys(), f"conv2d: an attribute of {sorted(attrs)} is unknown"
    return found


def out_shape(in_shape: Shape, **attrs: int) -> Shape:
    """Return ``(channels, P, Q)`` of the output maps."""
    g = _geometry(attrs)
    _, height, width = in_shape
    rows = places(height, g["kernel"], g["stride"], g["pad"])
    return (g["channels"], rows, places(width, g["kernel_w"], g["stride"], g["pad_w"]))


def parameters(in_shape: Shape, **attrs: int) -> dict[str, Shape]:
    """Weights ``(K, C / groups, R, S)`` and, with ``bias``, one bias a map."""
    g = _geometry(attrs)
    maps = (g["channels"],)
    weights = {"w": (*maps, in_shape[0] // g["groups"], g["kernel"], g["kernel_w"])}
    return weights | ({"b": maps} if g["bias"] else {})


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    """Return the call whose arguments are named; all three phases do the same multiply-adds."""
    g = _geometry(dict(layer.attrs))
    _, rows, columns = layer.out_shape
    gathered = (layer.in_shape[0], g["kernel"], g["kernel_w"], rows, columns, samples)
    if not g["bias"]:
        arguments = arguments.replace(" b", "").replace(" db", "")
    # Only what changes the work: padding and groups show in a signature where there are any
    attrs: Attrs = (("stride", g["stride"]),) if phase != "weight_grad" else ()
    if g["pad"] or g["pad_w"]:
        attrs += (("pad", g["pad"]), ("pad_w", g["pad_w"])) if phase != "weight_grad" else ()
    if g["groups"] > 1:
        attrs += (("groups", g["groups"]),)
    return layer.op(
        phase,
        samples,
        dtype,
        arguments,
        flop=2 * samples * rows * columns * prod(layer.parameters["w"]),
        attrs=attrs,
        others={"cols": gathered, "dcols": gathered},
    )


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Gather columns, then ``y = w cols + b``."""
    return _call(layer, samples, dtype, "forward", "x w b -> y cols")


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dw = dy cols^T``, ``db`` = sums of ``dy``."""
    return _call(layer, samples, dtype, "weight_grad", "cols dy -> dw db")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dcols = w^T dy``, scattered back onto ``dx`` (col2im); ``dcols`` is workspace."""
    return _call(layer, samples, dtype, "input_grad", "dy w -> dx dcols")
