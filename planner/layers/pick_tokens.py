"""The tokens at given positions: ``y[m] = x0[x1[m]]``, as the masked ones of BERT.

``x1`` holds int64 numbers; ``tokens`` of them from ``first`` on are positions in ``x0``.
Source: ``gather_indexes`` of github.com/google-research/bert, ``run_pretraining.py``.
"""

from dataclasses import replace

from planner.layer import Layer, Shape
from planner.opcall import DTYPE_BYTES, OpCall


def out_shape(tokens_shape: Shape, places: Shape, *, tokens: int, first: int = 0) -> Shape:
    """Return ``(tokens, F)``."""
    return (tokens, tokens_shape[1])


def indices(layer: Layer) -> dict[str, int]:
    """Return the inputs that are int64 numbers, and what they are below."""
    return {"x1": layer.in_shape[0]}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Copy rows; no FLOP, and no other row is read."""
    call = layer.op("forward", samples, dtype, "x0 x1 -> y", flop=0, attrs=_first(layer))
    others = max(0, layer.elements("x0", samples) - layer.elements("y", samples))
    return replace(call, untouched_bytes=others * DTYPE_BYTES[dtype])


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Zeros, and the gradient of every picked token added at its place."""
    return layer.op(
        "input_grad",
        samples,
        dtype,
        "x1 dy -> dx0",
        flop=layer.elements("y", samples),
        attrs=_first(layer),
    )


def _first(layer: Layer) -> tuple[tuple[str, int], ...]:
    return (("first", dict(layer.attrs).get("first", 0)),)
