"""Long short-term memory; n samples of S tokens, F inputs, H outputs. See ``planner.layers.lstm``.

Gates lie as i, f, o, g in every token. NumPy takes one ``tanh`` of all gates by vectors, of halves
for the first three, whose logistic function is ``(1 + tanh(z / 2)) / 2``. What is around it is
compiled, in one pass: as NumPy operations it took twice as long as the product of a token.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from runtime.kernels import Array, Product
from sim.arrays.compiled import cached, type_of

NONE = -1
"""The token before the first."""


def forward(  # noqa: PLR0913, the tensors of the op
    x: Array,
    w: Array,
    b: Array,
    y: Array,
    gates: Array,
    cells: Array,
    work: Array,
    reverse: int = 0,
    *,
    product: Product = np.dot,
) -> None:
    """Write outputs, and the gates and cells of every token.

    Parameters
    ----------
    x : float array, shape (n, S, F)
    w : float array, shape (F + H, 4 H)
    b : float array, shape (4 H,)
    y, cells : float array, shape (n, S, H), written
    gates : float array, shape (n, S, 4 H), written
    work : float array, shape (7 n H,)
    reverse : int
        1: the last token comes first.
    """
    inputs = x.shape[2]
    product(_rows(x), w[:inputs], out=_rows(gates))
    z, (wave, _, _) = _rooms(work, y)
    summed, gated = _compiled("sum", x.dtype), _compiled("gate", x.dtype)
    z.fill(0)
    for t, before in order(y.shape[1], reverse):
        if before != NONE:
            product(y[:, before], w[inputs:], out=z)
        summed(z, b, gates, t)
        np.tanh(z, out=z)
        gated(z, wave, gates, cells, t, before)
        np.tanh(wave, out=wave)
        np.multiply(z[:, 2 * wave.shape[1] : 3 * wave.shape[1]], wave, out=y[:, t])


def weight_grad(  # noqa: PLR0913, the tensors of the op
    x: Array,
    y: Array,
    dy: Array,
    w: Array,
    gates: Array,
    cells: Array,
    dw: Array,
    db: Array,
    dgates: Array,
    work: Array,
    reverse: int = 0,
    *,
    product: Product = np.dot,
) -> None:
    """Write the gradients of what gates are the functions of, and from them ``dw`` and ``db``.

    Parameters
    ----------
    x : float array, shape (n, S, F)
    y, dy, cells : float array, shape (n, S, H)
    w, dw : float array, shape (F + H, 4 H), ``dw`` written
    gates, dgates : float array, shape (n, S, 4 H), ``dgates`` written
    db : float array, shape (4 H,), written
    work : float array, shape (7 n H,)
    reverse : int
    """
    inputs = x.shape[2]
    z, (wave, given, carried) = _rooms(work, y)
    back = _compiled("back", x.dtype)
    given.fill(0)
    carried.fill(0)
    for t, before in reversed(list(order(y.shape[1], reverse))):
        np.tanh(cells[:, t], out=wave)
        back(z, wave, given, carried, dy, gates, cells, dgates, t, before)
        if before != NONE:
            product(z, w[inputs:].T, out=given)
    rows, outputs = _rows(dgates), _rows(y)
    product(_rows(x).T, rows, out=dw[:inputs])
    np.add.reduce(rows, axis=0, out=db)
    # the row before a sample's first token is another sample's, and counts for nothing
    first = dgates[:, -1 if reverse else 0]
    np.copyto(z, first)
    first.fill(0)
    pair = (outputs[1:], rows[:-1]) if reverse else (outputs[:-1], rows[1:])
    product(pair[0].T, pair[1], out=dw[inputs:])
    np.copyto(first, z)


def input_grad(
    dgates: Array, w: Array, dx: Array, reverse: int = 0, *, product: Product = np.dot
) -> None:
    """``dx = dgates w[:F]^T``, whatever the order of tokens.

    Parameters
    ----------
    dgates : float array, shape (n, S, 4 H), as ``weight_grad`` leaves it
    w : float array, shape (F + H, 4 H)
    dx : float array, shape (n, S, F), written
    reverse : int
    """
    del reverse
    product(_rows(dgates), w[: dx.shape[2]].T, out=_rows(dx))


def order(tokens: int, reverse: int) -> Iterator[tuple[int, int]]:
    """Yield every token and the one that comes before it, in the order of time."""
    before = NONE
    for t in range(tokens - 1, -1, -1) if reverse else range(tokens):
        yield t, before
        before = t


def _rooms(work: Array, y: Array) -> tuple[Array, Array]:
    """Return one array (n, 4 H) and three (n, H)."""
    samples, _, features = y.shape
    size = 4 * samples * features
    return work[:size].reshape(samples, -1), work[size:].reshape(3, samples, features)


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


@cache
def _compiled(name: str, dtype: "np.dtype[np.floating[Any]]") -> Callable[..., None]:
    """Return a function below compiled for a dtype."""
    row, matrix, tokens = (type_of(np.empty((1,) * axes, dtype)) for axes in (1, 2, 3))
    place = type_of(1)
    functions: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
        "sum": (_sum, (matrix, row, tokens, place)),
        "gate": (_gate, (matrix, matrix, tokens, tokens, place, place)),
        "back": (_back, (*(matrix,) * 4, *(tokens,) * 4, place, place)),
    }
    function, arguments = functions[name]
    return cached(*arguments)(function)


def _sum(z: Array, b: Array, gates: Array, t: int) -> None:
    """Add to ``z`` what token ``t`` gives, and halve what a logistic function is taken of."""
    samples, wide = z.shape
    logistic, half = 3 * wide // 4, z.dtype.type(0.5)
    for k in range(samples):
        for e in range(logistic):
            z[k, e] = half * (z[k, e] + gates[k, t, e] + b[e])
        for e in range(logistic, wide):
            z[k, e] += gates[k, t, e] + b[e]


def _gate(z: Array, wave: Array, gates: Array, cells: Array, t: int, before: int) -> None:
    """Make gates of ``tanh`` in ``z``, keep them, and write the cell, to ``wave`` too."""
    samples, features = wave.shape
    half = z.dtype.type(0.5)
    for k in range(samples):
        for e in range(3 * features):
            z[k, e] = half + half * z[k, e]
        for e in range(4 * features):
            gates[k, t, e] = z[k, e]
        for e in range(features):
            cells[k, t, e] = z[k, e] * z[k, 3 * features + e]
        if before != NONE:
            for e in range(features):
                cells[k, t, e] += z[k, features + e] * cells[k, before, e]
        for e in range(features):
            wave[k, e] = cells[k, t, e]


def _back(  # noqa: PLR0913, the tensors of a token
    z: Array,
    wave: Array,
    given: Array,
    carried: Array,
    dy: Array,
    gates: Array,
    cells: Array,
    dgates: Array,
    t: int,
    before: int,
) -> None:
    """Write ``dgates`` of token ``t``, to ``z`` too, and what its cell gives the one before.

    ``wave`` is ``tanh`` of the cell; ``given`` and ``carried`` are what later tokens give to its
    output and its cell.
    """
    samples, features = given.shape
    one = z.dtype.type(1)
    for k in range(samples):
        for e in range(features):
            i, f = gates[k, t, e], gates[k, t, features + e]
            o, g = gates[k, t, 2 * features + e], gates[k, t, 3 * features + e]
            dh = given[k, e] + dy[k, t, e]
            dc = carried[k, e] + dh * o * (one - wave[k, e] * wave[k, e])
            z[k, e] = dc * g * i * (one - i)
            z[k, 2 * features + e] = dh * wave[k, e] * o * (one - o)
            z[k, 3 * features + e] = dc * i * (one - g * g)
            z[k, features + e] = dc * f * (one - f)
            carried[k, e] = dc * f
        for e in range(features):
            c = cells[k, before, e] if before != NONE else one - one
            z[k, features + e] *= c
        for e in range(4 * features):
            dgates[k, t, e] = z[k, e]
