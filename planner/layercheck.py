"""What a layer that a file describes must keep: known attributes, and inputs that fit."""

from collections.abc import Mapping, Sequence
from inspect import Parameter, signature

from planner.layer import Shape, kind_module

MOST_LAYERS = 10_000
"""Layers of a model, repeated blocks unrolled."""
MOST_SIDE = 2**24
"""Of channels, features, sides and windows: far above any model, so that sums stay sums."""
LEAST = dict.fromkeys(("pad", "pad_w", "percent", "first", "tokens"), 0)
MOST = {"percent": 99}
SWITCHES = ("bias", "borrows", "ceil", "causal", "reverse", "tied")
"""Attributes that are yes or no."""
LEAST |= dict.fromkeys(SWITCHES, 0)
MOST |= dict.fromkeys(SWITCHES, 1)
MAPS = ("conv2d", "max_pool", "avg_pool", "batch_norm", "lrn", "flatten", "upsample")
"""Kinds that take maps ``(C, H, W)``."""
TOKENS = ("attention", "first_token", "lstm", "positions", "unembedding")
"""Kinds that take tokens ``(S, F)``."""
SEVERAL = ("add", "concat", "gate", "pick_tokens")
"""Kinds that take more than one input."""


def attributes(kind: str) -> dict[str, bool]:
    """Return the attributes of a kind; true: it must be given."""
    module = kind_module(kind)
    if hasattr(module, "ATTRIBUTES"):
        return dict(module.ATTRIBUTES)
    given = signature(module.out_shape).parameters.values()
    return {x.name: x.default is x.empty for x in given if x.kind is Parameter.KEYWORD_ONLY}


def attribute_problem(name: str, value: object) -> str:
    """Say what is wrong with the value of an attribute; empty when nothing is."""
    least, most = LEAST.get(name, 1), MOST.get(name, MOST_SIDE)
    if type(value) is int and least <= value <= most:
        return ""
    return f"{name}: expected a whole number from {least} to {most}, got {value!r}"


def shape_problem(kind: str, shapes: Sequence[Shape], attrs: Mapping[str, int]) -> str:
    """Say why inputs of these shapes do not fit a layer; empty when they do."""
    if kind in SEVERAL:
        return _of_several(kind, shapes)
    if len(shapes) != 1:
        return f"{kind}: expected one input, got {len(shapes)}"
    (shape,) = shapes
    if problem := _of_rank(kind, shape):
        return problem
    return SIZES[kind](kind, shape, attrs) if kind in SIZES else ""


def _of_rank(kind: str, shape: Shape) -> str:
    expected = ""
    if kind in MAPS and len(shape) != 3:
        expected = "maps of shape (C, H, W)"
    elif kind in TOKENS and len(shape) != 2:
        expected = "tokens of shape (S, F)"
    elif kind == "embedding" and len(shape) != 1:
        expected = "numbers of shape (I,)"
    elif kind in ("linear", "layer_norm") and len(shape) > 2:
        return f"{kind}: expected a vector (F,) or tokens (S, F), got {shape} (flatten it first)"
    return f"{kind}: expected {expected}, got {shape}" if expected else ""


def _of_several(kind: str, shapes: Sequence[Shape]) -> str:
    if kind == "gate":
        fits = len(shapes) == 2 and len(shapes[0]) == 3 and shapes[1] == (shapes[0][0], 1, 1)
        expected = "maps (C, H, W) and factors (C, 1, 1)"
    elif kind == "pick_tokens":
        fits = len(shapes) == 2 and [len(x) for x in shapes] == [2, 1]
        expected = "tokens (S, F) and numbers (I,)"
    elif kind == "add":
        fits, expected = len(shapes) > 1 and len(set(shapes)) == 1, "two or more of one shape"
    else:
        alike = {(len(x), x[:1] if len(x) == 2 else x[1:]) for x in shapes}
        fits = len(shapes) > 1 and len(alike) == 1
        expected = "two or more that differ in channels or features alone"
    return "" if fits else f"{kind}: expected inputs {expected}, got {_listed(shapes)}"


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join(map(str, shapes)) or "none"


def _of_pool(kind: str, shape: Shape, attrs: Mapping[str, int]) -> str:
    window, pad = attrs["window"], attrs.get("pad", 0)
    if pad >= window:
        return f"{kind}: expected a pad below the window {window}, got {pad}"
    return _too_wide(kind, shape, (window, window), (pad, pad))


def _of_conv(kind: str, shape: Shape, attrs: Mapping[str, int]) -> str:
    groups = attrs.get("groups", 1)
    for what, channels in (("input", shape[0]), ("output", attrs["channels"])):
        if channels % groups:
            return f"{kind}: expected {what} channels in {groups} equal groups, got {channels}"
    pad = attrs.get("pad", 0)
    window = (attrs["kernel"], attrs.get("kernel_w", attrs["kernel"]))
    return _too_wide(kind, shape, window, (pad, attrs.get("pad_w", pad)))


def _too_wide(kind: str, shape: Shape, window: Sequence[int], pads: Sequence[int]) -> str:
    for side, width, pad in zip(shape[1:], window, pads, strict=True):
        if width > side + 2 * pad:
            return f"{kind}: expected a window of at most {side + 2 * pad}, got {width}"
    return ""


def _of_embedding(kind: str, shape: Shape, attrs: Mapping[str, int]) -> str:
    last = attrs.get("first", 0) + (attrs.get("tokens", 0) or 1)
    return "" if last <= shape[0] else f"{kind}: expected {last} numbers, got {shape[0]}"


def _of_positions(kind: str, shape: Shape, attrs: Mapping[str, int]) -> str:
    most = attrs["positions"]
    return "" if shape[0] <= most else f"{kind}: expected at most {most} tokens, got {shape[0]}"


def _of_attention(kind: str, shape: Shape, attrs: Mapping[str, int]) -> str:
    parts = 3 * attrs["heads"]
    if shape[1] % parts == 0:
        return ""
    return f"{kind}: expected features in {parts} equal parts (q, k, v by head), got {shape[1]}"


SIZES = {
    "conv2d": _of_conv,
    "max_pool": _of_pool,
    "avg_pool": _of_pool,
    "embedding": _of_embedding,
    "positions": _of_positions,
    "attention": _of_attention,
}
"""What kinds ask of the sides of a shape, given their attributes."""
