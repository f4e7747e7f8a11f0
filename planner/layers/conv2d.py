"""Convolution as matmuls over gathered columns (im2col), a tile of output rows at a time.

The columns of a tile, ``cols[c, i, j, p, q, n] = x[c, p s + i - pad, q s + j - pad, n]``, live in a
workspace that stays in a cache, and are gathered again for the weight gradient: only ``x`` is kept.
That is how libraries of GPUs save the columns too (implicit GEMM). Source of the method:
Chellapilla, Puri and Simard, ICFHR 2006; of the tiles: Chetlur et al., cuDNN (2014), section 3.2.
"""

from dataclasses import replace
from math import prod

from hwprofiles.units import KIB
from planner.layer import Layer, Shape
from planner.opcall import DTYPE_BYTES, Attrs, OpCall

TILE_BYTES = 512 * KIB
"""Most that the columns of a tile take, unless one row of the output takes more.

On one core with 2 MiB of second-level cache, 256 KiB to 4 MiB made no difference to convolutions of
64 and more maps; LeNet-5's were up to 1.6 times slower from 1 MiB on.
"""

FIRST_CHANNELS = 4
"""With at most so many input channels a convolution is a network's first: images have three."""

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


def _tile(layer: Layer, g: dict[str, int], samples: int, dtype: str) -> tuple[int, int]:
    """Return the output rows of a tile, and the elements of its workspace.

    The workspace holds the columns, the padded rows that they are gathered from, the tile's rows of
    ``y`` or ``dy``, and what they add to ``dw``.
    """
    channels, _, width = layer.in_shape
    maps, rows, columns = layer.out_shape
    row = channels * g["kernel"] * g["kernel_w"] * columns * samples
    tile = max(1, min(rows, TILE_BYTES // DTYPE_BYTES[dtype] // row))
    high = (tile - 1) * g["stride"] + g["kernel"]
    padded = channels * high * (width + 2 * g["pad_w"]) * samples if g["pad"] or g["pad_w"] else 0
    result = maps * tile * columns * samples
    whole = prod(layer.parameters["w"]) if tile < rows else 0
    return tile, tile * row + padded + result + whole


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    """Return the call whose arguments are named; all three phases do the same multiply-adds."""
    g = _geometry(dict(layer.attrs))
    _, rows, columns = layer.out_shape
    if not g["bias"]:
        arguments = arguments.replace(" b", "").replace(" db", "")
    # 1x1 kernels need no columns: the maps are the columns
    pointwise = (g["kernel"], g["kernel_w"], g["stride"], g["pad"], g["pad_w"]) == (1, 1, 1, 0, 0)
    tile, elements = _tile(layer, g, samples, dtype)
    # Only what changes the work: padding and groups show in a signature where there are any
    attrs: Attrs = (("stride", g["stride"]),)
    if g["pad"] or g["pad_w"]:
        attrs += (("pad", g["pad"]), ("pad_w", g["pad_w"]))
    if g["groups"] > 1:
        attrs += (("groups", g["groups"]),)
    if not pointwise:
        attrs += (("tile", tile),)
    if not g["bias"]:
        attrs += (("bias", 0),)
    call = layer.op(
        phase,
        samples,
        dtype,
        arguments if pointwise else f"{arguments} ~ work",
        flop=2 * samples * rows * columns * prod(layer.parameters["w"]),
        attrs=attrs,
        others={"work": (elements,)},
    )
    fewer = min(layer.in_shape[0], g["channels"])
    return replace(
        call,
        work_class=_work_class(layer.in_shape[0], g),
        channels=0 if g["groups"] > 1 else fewer,
    )


def _work_class(inputs: int, g: dict[str, int]) -> str:
    """Return the class of work, which says what of a peak is reached."""
    if g["groups"] > 1:
        return "conv_depthwise" if g["groups"] == inputs else "conv_grouped"
    if inputs <= FIRST_CHANNELS:
        return "conv_first"
    if g["kernel"] != g["kernel_w"]:
        return "conv_strip"
    return {1: "conv_1x1", 3: "conv_3x3"}.get(g["kernel"], "conv_large")


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Gather columns, then ``y = w cols + b``."""
    return _call(layer, samples, dtype, "forward", "x w b -> y")


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Gather columns again; ``dw = dy cols^T``, ``db`` = sums of ``dy``."""
    return _call(layer, samples, dtype, "weight_grad", "x dy -> dw db")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dcols = w^T dy``, scattered back onto ``dx`` (col2im)."""
    return _call(layer, samples, dtype, "input_grad", "dy w -> dx")
