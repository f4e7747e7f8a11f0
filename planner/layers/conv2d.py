"""Convolution, direct: every tap reads its input where it lies, so only ``x`` is kept.

The workspace is as large as S shifts of the rows of a tile, and the weights in another order. On a
CPU it holds as many rows of the input as fit, each packed once with its border of zeros; a GPU's
fallback gathers columns in it (im2col), a tile at a time. Sources: of columns a tile at a time,
Chetlur et al., cuDNN (2014), section 3.2; of direct convolution with sums held in registers,
Georganas et al., SC 2018.
"""

from dataclasses import replace
from math import prod

from hwprofiles.tiles import Product, product
from hwprofiles.units import MIB
from planner.layer import Layer, Shape
from planner.opcall import DTYPE_BYTES, Attrs, OpCall

TILE_BYTES = 8 * MIB
"""Most that the shifts of a tile's rows take, unless those of one row of the output take more."""

SPARE = 16
"""Elements of workspace after the last packed row: the most that a vector of a CPU holds."""

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


def _tile(layer: Layer, g: dict[str, int], samples: int, dtype: str, phase: str) -> tuple[int, int]:
    """Return the rows of a tile, and the elements of its workspace.

    That is S shifts of the rows that it reads, the weights, and as much as a row gives to ``dw`` or
    to the rows of ``dx``; and never less than what the packed rows of one output row take.
    """
    (channels, height, width), (maps, rows, columns) = layer.in_shape, layer.out_shape
    high, weights, part = g["kernel"], prod(layer.parameters["w"]), 0
    line = channels * g["kernel_w"] * columns * samples
    if phase == "weight_grad":
        part = weights
    elif phase == "input_grad" and g["stride"] == 1 and (rows, columns) == (height, width):
        line = maps * g["kernel_w"] * columns * samples
    elif phase == "input_grad":
        part = high * line
    most = TILE_BYTES // DTYPE_BYTES[dtype] // line
    tile = max(1, min(rows, (most - high) // g["stride"] + 1))
    elements = ((tile - 1) * g["stride"] + high) * line + weights + part
    return tile, max(elements, samples * _packed(layer, g, phase) + weights + SPARE)


def _packed(layer: Layer, g: dict[str, int], phase: str) -> int:
    """Return the elements of a sample in the packed rows that one row of the result needs."""
    (channels, _, width), (maps, _, columns) = layer.in_shape, layer.out_shape
    high, wide, stride = g["kernel"], g["kernel_w"], g["stride"]
    if phase == "input_grad":
        first, last = g["pad_w"] // stride, (width - 1 + g["pad_w"]) // stride
        reached = last - first + 1 + (wide - 1) // stride
        return maps * ((high - 1) // stride + 1) * reached
    together = min(wide, stride)
    return channels * high * (together * (columns - 1) + wide)


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    """Return the call whose arguments are named; all three phases do the same multiply-adds."""
    g = _geometry(dict(layer.attrs))
    _, rows, columns = layer.out_shape
    if not g["bias"]:
        arguments = arguments.replace(" b", "").replace(" db", "")
    # 1x1 kernels need no columns: the maps are the columns
    pointwise = (g["kernel"], g["kernel_w"], g["stride"], g["pad"], g["pad_w"]) == (1, 1, 1, 0, 0)
    tile, elements = _tile(layer, g, samples, dtype, phase)
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
    area, (given, made) = g["kernel"] * g["kernel_w"], (layer.in_shape[0], g["channels"])
    # the smaller side of the product: maps that come out, or taps of the maps that go in
    fewer = min(given, made * area) if phase == "input_grad" else min(made, given * area)
    one = g["groups"] == 1
    return replace(
        call,
        work_class=_work_class(given, g),
        channels=fewer if one else 0,
        product=_product(layer, phase, samples, call.flop) if one else None,
    )


def _product(layer: Layer, phase: str, samples: int, flop: int) -> Product:
    """Return the product of matrices that the convolution is; a stride thins that of the input."""
    (given, *area), (made, *places_out) = layer.in_shape, layer.out_shape
    if phase == "input_grad":
        rows = samples * prod(area)
        return (rows, given, max(1, flop // (2 * rows * given)))
    taps = prod(layer.parameters["w"][1:])
    return product(phase, samples * prod(places_out), taps, made)


def _work_class(inputs: int, g: dict[str, int]) -> str:
    """Return the class of work, which says what of a peak is reached."""
    if g["groups"] > 1:
        return "conv_depthwise" if g["groups"] == inputs else "conv_grouped"
    if g["kernel"] != g["kernel_w"]:
        return "conv_strip"
    return {1: "linear", 3: "conv_3x3"}.get(g["kernel"], "conv_large")


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y`` = ``b`` + sums over taps and channels of ``w x``."""
    return _call(layer, samples, dtype, "forward", "x w b -> y")


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dw`` = sums over samples and places of ``dy x``, ``db`` = sums of ``dy``."""
    return _call(layer, samples, dtype, "weight_grad", "x dy -> dw db")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dy`` convolved with the turned kernel."""
    return _call(layer, samples, dtype, "input_grad", "dy w -> dx")
