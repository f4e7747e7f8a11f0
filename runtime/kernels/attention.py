"""Multi-head self-attention, scores a tile at a time; sources in ``planner.layers.attention``.

Letters: n samples of S tokens, H heads of D features. A tile is some whole heads of some samples,
or some queries of one head of one sample. Scores lie key by key, ``(..., keys, queries)``, so that
largest and sum of a query are found for many at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt

import numpy as np

from runtime.kernels import Array


def forward(x: Array, y: Array, stats: Array, work: Array, *, heads: int, causal: int) -> None:
    """``y = softmax(q k^T / sqrt(D)) v``.

    Parameters
    ----------
    x : float array, shape (n, S, 3 H D)
        Queries, keys and values of a token, each head after head.
    y : float array, shape (n, S, H D), written
    stats : float array, shape (n, H, S), written
        Logarithm of the sum of exponentials of each query's scores.
    work : float array
        At least S; the more, the larger the tiles.
    heads, causal : int
        Causal 1: a token attends to itself and those before it.
    """
    q, k, v = _heads(x, heads, 3)
    (out,) = _heads(y, heads, 1)
    for tile in _tiles(stats.shape, work.size, causal):
        p = tile.scores(q, k, work)
        top = p.max(axis=-2, keepdims=True)
        np.subtract(p, top, out=p)
        np.exp(p, out=p)
        total = np.add.reduce(p, axis=-2, keepdims=True)
        place = out[tile.queries]
        np.matmul(p.swapaxes(-1, -2), v[tile.keys], out=place)
        np.divide(place, total.swapaxes(-1, -2), out=place)
        np.add(np.log(total), top, out=top)
        stats[tile.queries] = top[..., 0, :]


def input_grad(
    x: Array, stats: Array, dy: Array, dx: Array, work: Array, *, heads: int, causal: int
) -> None:
    """Gradients of queries, keys and values, side by side in ``dx`` as they are in ``x``.

    Parameters
    ----------
    x, dx : float array, shape (n, S, 3 H D), ``dx`` written
    stats : float array, shape (n, H, S), as ``forward`` leaves it
    dy : float array, shape (n, S, H D)
    work : float array
        At least S (2 + D).
    heads, causal : int

    Notes
    -----
    Source: Dao et al., NeurIPS 2022, appendix B.2, with ``p`` and ``ds`` of a tile whole.
    """
    q, k, v = _heads(x, heads, 3)
    dq, dk, dv = _heads(dx, heads, 3)
    (gradient,) = _heads(dy, heads, 1)
    tokens, features = q.shape[2:]
    half = (work.size - tokens * features) // 2
    spare = work[2 * half :]
    scale = 1 / sqrt(features)
    # the last queries first: their tile has all keys, so it writes what the others add to
    for tile in reversed(list(_tiles(stats.shape, half, causal))):
        p = tile.scores(q, k, work)
        np.subtract(p, stats[tile.queries][..., None, :], out=p)
        np.exp(p, out=p)
        given = gradient[tile.queries]
        tile.give(p, given, dv, spare)
        ds = work[half : half + p.size].reshape(p.shape)
        np.matmul(v[tile.keys], given.swapaxes(-1, -2), out=ds)
        inner = np.einsum("...sr,...sr->...r", p, ds)
        np.subtract(ds, inner[..., None, :], out=ds)
        np.multiply(ds, p, out=ds)
        np.multiply(ds, scale, out=ds)
        np.matmul(ds.swapaxes(-1, -2), k[tile.keys], out=dq[tile.queries])
        tile.give(ds, q[tile.queries], dk, spare)


Place = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class _Tile:
    """Queries, and the keys that they see: samples, heads, tokens of views (n, H, S, D)."""

    queries: Place
    keys: Place
    causal: int
    is_last: bool
    """Whether it has the last queries of its heads."""

    def scores(self, q: Array, k: Array, work: Array) -> Array:
        """Return ``k q^T / sqrt(D)`` in ``work``, minus infinity where a key is hidden."""
        queries, keys = q[self.queries], k[self.keys]
        shape = (*keys.shape[:3], queries.shape[2])
        found = work[: prod(shape)].reshape(shape)
        np.matmul(keys, queries.swapaxes(-1, -2), out=found)
        np.multiply(found, 1 / sqrt(q.shape[3]), out=found)
        if self.causal:
            rows = shape[3]
            hidden = np.tri(rows, k=-1, dtype=bool)
            np.copyto(found[..., shape[2] - rows :, :], -np.inf, where=hidden)
        return found

    def give(self, weights: Array, rows: Array, total: Array, spare: Array) -> None:
        """Write ``weights rows`` to the keys of ``total``, or add it after the first tile."""
        place = total[self.keys]
        if self.is_last:
            np.matmul(weights, rows, out=place)
        else:
            part = spare[: place.size].reshape(place.shape)
            np.matmul(weights, rows, out=part)
            np.add(place, part, out=place)


def _heads(x: Array, heads: int, parts: int) -> list[Array]:
    """Return views (n, H, S, D) of the parts that lie side by side in every token."""
    samples, tokens, width = x.shape
    split = x.reshape(samples, tokens, parts, heads, width // (parts * heads))
    return [split[:, :, i].swapaxes(1, 2) for i in range(parts)]


def _tiles(shape: tuple[int, ...], size: int, causal: int) -> Iterator[_Tile]:
    """Yield tiles of at most ``size`` scores, those of one head in the order of their queries."""
    samples, heads, tokens = shape
    matrices = max(1, size // tokens**2)
    some_heads = min(heads, matrices)
    some_samples = matrices // heads or 1
    rows = min(tokens, size // tokens)
    for n in range(0, samples, some_samples):
        for h in range(0, heads, some_heads):
            for first in range(0, tokens, rows):
                end = min(first + rows, tokens)
                of = (slice(n, n + some_samples), slice(h, h + some_heads))
                yield _Tile(
                    queries=(*of, slice(first, end)),
                    keys=(*of, slice(0, end if causal else tokens)),
                    causal=causal,
                    is_last=end == tokens,
                )
