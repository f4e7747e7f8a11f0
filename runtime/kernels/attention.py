"""Multi-head self-attention, scores a tile at a time; sources in ``planner.layers.attention``.

Letters: n samples of S tokens, H heads of D features. A tile is some whole heads of some samples,
or some queries of one head of one sample. Scores lie key by key, ``(..., keys, queries)``, so that
largest and sum of a query are found for many at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import prod, sqrt
from typing import Any

import numpy as np

from runtime.kernels import Array, Product
from sim.arrays.compiled import cached, type_of


def forward(
    x: Array,
    y: Array,
    stats: Array,
    work: Array,
    *,
    heads: int,
    causal: int,
    product: Product = np.matmul,
) -> None:
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
    for tile in _tiles(stats.shape, work.size, causal, product):
        top = np.empty(stats[tile.queries].shape, x.dtype)
        p = tile.exponentials(q, k, work, top, is_known=False)
        total = np.empty_like(top)
        _compiled("totals", x.dtype)(_matrices(p), _matrices(total))
        place = out[tile.queries]
        product(p.swapaxes(-1, -2), v[tile.keys], out=place)
        np.divide(place, total[..., None], out=place)
        np.add(np.log(total), top, out=top)
        stats[tile.queries] = top


def input_grad(  # noqa: PLR0913, the tensors of the op
    x: Array,
    stats: Array,
    dy: Array,
    dx: Array,
    work: Array,
    *,
    heads: int,
    causal: int,
    product: Product = np.matmul,
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
    for tile in reversed(list(_tiles(stats.shape, half, causal, product))):
        p = tile.exponentials(q, k, work, np.array(stats[tile.queries]), is_known=True)
        given = gradient[tile.queries]
        tile.give(p, given, dv, spare)
        ds = work[half : half + p.size].reshape(p.shape)
        product(v[tile.keys], given.swapaxes(-1, -2), out=ds)
        inner = np.einsum("...sr,...sr->...r", p, ds)
        np.subtract(ds, inner[..., None, :], out=ds)
        np.multiply(ds, p, out=ds)
        np.multiply(ds, scale, out=ds)
        product(ds.swapaxes(-1, -2), k[tile.keys], out=dq[tile.queries])
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
    product: Product

    def exponentials(self, q: Array, k: Array, work: Array, top: Array, *, is_known: bool) -> Array:
        """Return in ``work`` exponentials of ``k q^T / sqrt(D) - top``, 0 where a key is hidden.

        ``top``, (n, H, queries), is the largest score of each query, written unless known.
        """
        queries, keys = q[self.queries], k[self.keys]
        shape = (*keys.shape[:3], queries.shape[2])
        found = work[: prod(shape)].reshape(shape)
        self.product(keys, queries.swapaxes(-1, -2), out=found)
        scale = found.dtype.type(1 / sqrt(q.shape[3]))
        seen = shape[2] - shape[3] if self.causal else shape[2]
        _compiled("lower", found.dtype)(_matrices(found), _matrices(top), scale, seen, is_known)
        np.exp(found, out=found)
        return found

    def give(self, weights: Array, rows: Array, total: Array, spare: Array) -> None:
        """Write ``weights rows`` to the keys of ``total``, or add it after the first tile."""
        place = total[self.keys]
        if self.is_last:
            self.product(weights, rows, out=place)
        else:
            part = spare[: place.size].reshape(place.shape)
            self.product(weights, rows, out=part)
            np.add(place, part, out=place)


def _heads(x: Array, heads: int, parts: int) -> list[Array]:
    """Return views (n, H, S, D) of the parts that lie side by side in every token."""
    samples, tokens, width = x.shape
    split = x.reshape(samples, tokens, parts, heads, width // (parts * heads))
    return [split[:, :, i].swapaxes(1, 2) for i in range(parts)]


def _tiles(shape: tuple[int, ...], size: int, causal: int, product: Product) -> Iterator[_Tile]:
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
                    product=product,
                )


def _matrices(x: Array) -> Array:
    """View (n, H, ...) as (n H, ...)."""
    return x.reshape(-1, *x.shape[2:])


@cache
def _compiled(name: str, dtype: "np.dtype[np.floating[Any]]") -> Callable[..., None]:
    """Return a function below compiled for a dtype: NumPy takes a pass over all for each."""
    scores, rows = (type_of(np.empty((1,) * axes, dtype)) for axes in (3, 2))
    if name == "totals":
        return cached(scores, rows)(_totals)
    return cached(scores, rows, *(type_of(value) for value in (dtype.type(1), 1, True)))(_lower)


def _lower(p: Array, top: Array, scale: float, seen: int, is_known: bool) -> None:
    """``p = scale p - top``, minus infinity where hidden; every query sees the first ``seen``."""
    matrices, keys, _ = p.shape
    for m in range(matrices):
        if not is_known:
            top[m] = -np.inf
            for s in range(keys):
                scores, best = p[m, s, max(0, s - seen) :], top[m, max(0, s - seen) :]
                for r in range(len(scores)):
                    score = scores[r] * scale
                    best[r] = score if score > best[r] else best[r]
        for s in range(keys):
            hidden = max(0, s - seen)
            p[m, s, :hidden] = -np.inf
            scores, best = p[m, s, hidden:], top[m, hidden:]
            for r in range(len(scores)):
                scores[r] = scores[r] * scale - best[r]


def _totals(p: Array, total: Array) -> None:
    """Write the sums over keys."""
    matrices, keys, queries = p.shape
    for m in range(matrices):
        for r in range(queries):
            total[m, r] = p[m, 0, r]
        for s in range(1, keys):
            for r in range(queries):
                total[m, r] += p[m, s, r]
