"""Token embedding: ``y[s] = w[x[s]]``, a row of a table for each token; ``x`` is int64.

The gradient of the table touches few of its rows, but is written densely, for the exchange sums
dense gradients (as Horovod and Megatron-LM do): zeros, then rows added. With ``tied=1`` a layer
above, to which the table is lent, has written its own gradient of it before, and rows are added to
that: an ``unembedding``, or an embedding with ``borrows=1``.
"""

from dataclasses import replace

from planner.layer import Layer, Shape
from planner.opcall import DTYPE_BYTES, OpCall

DEVIATION = 0.02
"""Of first values. Source: Devlin et al., NAACL 2019, and Radford et al. 2019 (both in code)."""


def out_shape(
    in_shape: Shape,
    *,
    vocab: int,
    features: int,
    first: int = 0,
    tokens: int = 0,
    tied: int = 0,
    borrows: int = 0,
) -> Shape:
    """Return ``(tokens, features)``: of the ``tokens`` numbers from ``first`` on, or of all."""
    return (tokens or in_shape[0] - first, features)


def parameters(
    in_shape: Shape, *, vocab: int, features: int, borrows: int = 0, **_: int
) -> dict[str, Shape]:
    """One row a token of the vocabulary, unless the table is borrowed."""
    return {} if borrows else {"w": (vocab, features)}


def borrowed(
    in_shape: Shape, *, vocab: int, features: int, borrows: int = 0, **_: int
) -> dict[str, Shape]:
    """Return the parameters that belong to the layer it is tied to."""
    return {"w": (vocab, features)} if borrows else {}


def indices(layer: Layer) -> dict[str, int]:
    """Return the inputs that are int64 numbers, and what they are below."""
    return {"x": dict(layer.attrs)["vocab"]}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Copy rows; no FLOP, and no row is read that no token asks for."""
    call = layer.op("forward", samples, dtype, "x w -> y", flop=0, attrs=_first(layer))
    return replace(call, untouched_bytes=_others(layer, samples, dtype))


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Add the gradient of every token to its row, one FLOP an element."""
    is_tied = dict(layer.attrs).get("tied", 0)
    call = layer.op(
        "weight_grad",
        samples,
        dtype,
        f"x dy {'| dw ->' if is_tied else '-> dw'}",
        flop=layer.elements("y", samples),
        attrs=(*_first(layer), ("tied", is_tied)),
    )
    return replace(call, untouched_bytes=2 * is_tied * _others(layer, samples, dtype))


def _first(layer: Layer) -> tuple[tuple[str, int], ...]:
    return (("first", dict(layer.attrs).get("first", 0)),)


def _others(layer: Layer, samples: int, dtype: str) -> int:
    """Bytes of the rows that no token asks for, if all tokens differ."""
    vocab, features = (layer.parameters or layer.borrowed)["w"]
    return max(0, vocab - samples * layer.out_shape[0]) * features * DTYPE_BYTES[dtype]
