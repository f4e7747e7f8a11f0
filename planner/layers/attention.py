"""Multi-head self-attention of queries, keys and values that lie side by side.

Source: Vaswani et al., NeurIPS 2017, eq. 1. A token of ``x`` is ``(q, k, v)``, each of ``heads``
heads of ``features / heads``; a linear layer before makes it, one after mixes the heads.
``causal=1`` hides the tokens that come later.

What is kept for the backward pass is ``stats``, the logarithm of each query's sum of exponentials:
the probabilities, ``heads S^2`` a sample, are computed again (FlashAttention: Dao et al., NeurIPS
2022), which costs a fifth matrix product. Scores exist one tile at a time, in workspace; a causal
tile has no keys after its last query. FLOP are those of the matrix products; the arithmetic of
softmax is not declared, as that of biases is not.
"""

from dataclasses import replace

from planner.layer import Layer, Shape
from planner.opcall import OpCall

TILE = 1 << 17
"""Scores of a tile: 512 KiB in float32, so that two of them stay in a cache of 2 MiB."""


def out_shape(in_shape: Shape, *, heads: int, causal: int = 0) -> Shape:
    """Return ``(S, F)`` for tokens ``(S, 3 F)``."""
    return (in_shape[0], in_shape[1] // 3)


def scores(tokens: int, causal: int) -> int:
    """Scores that one head of one sample computes: all pairs, but for causal tiles.

    >>> scores(1024, 0), scores(1024, 1)
    (1048576, 589824)
    """
    if not causal:
        return tokens**2
    rows = min(tokens, max(1, TILE // tokens))
    ends = [min(first + rows, tokens) for first in range(0, tokens, rows)]
    return sum((end - first) * end for first, end in zip(range(0, tokens, rows), ends, strict=True))


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = softmax(q k^T / sqrt(d)) v`` head by head: two matrix products."""
    return _call(layer, samples, dtype, "forward", "x -> y stats ~ work", 2)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Gradients of ``q``, ``k`` and ``v`` in ``dx``: five matrix products, one of them again."""
    return _call(layer, samples, dtype, "input_grad", "x stats dy -> dx ~ work", 5)


def _call(
    layer: Layer, samples: int, dtype: str, phase: str, arguments: str, products: int
) -> OpCall:
    attrs = dict(layer.attrs)
    heads, causal = attrs["heads"], attrs.get("causal", 0)
    tokens, features = layer.out_shape
    room = max(tokens, min(TILE, samples * heads * tokens**2))
    if phase == "input_grad":  # a second tile, and keys or values of one head
        room = 2 * room + tokens * (features // heads)
    call = layer.op(
        phase,
        samples,
        dtype,
        arguments,
        flop=2 * products * samples * scores(tokens, causal) * features,
        attrs=(("heads", heads), ("causal", causal)),
        others={"stats": (samples, heads, tokens), "work": (room,)},
    )
    return replace(call, work_class="linear")
