"""Rows of a table by number; V rows of F features, n samples of S tokens among I numbers."""

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array

Numbers = npt.NDArray[np.int64]


def forward(x: Numbers, w: Array, y: Array, *, first: int) -> None:
    """``y[s] = w[x[first + s]]``.

    Parameters
    ----------
    x : int64 array, shape (n, I)
        Rows of ``w``; one that is not there gives the nearest.
    w : float array, shape (V, F)
    y : float array, shape (n, S, F), written
    first : int
        Number of ``x`` that is the first token.
    """
    np.take(w, x[:, first : first + y.shape[1]], axis=0, out=y, mode="clip")


def weight_grad(x: Numbers, dy: Array, dw: Array, work: Array, *, first: int, tied: int) -> None:
    """Add every row of ``dy`` to the row of ``dw`` that it came from.

    Parameters
    ----------
    x : int64 array, shape (n, I)
    dy : float array, shape (n, S, F)
    dw : float array, shape (V, F), written, or added to where ``tied`` is 1
    work : float array, at least F
    first, tied : int

    Notes
    -----
    Rows are added in the order of the tokens, however many there are of each, in pieces as large as
    ``work``; ``numpy.add.at`` takes five times as long.
    """
    if not tied:
        dw.fill(0)
    add_rows(x[:, first : first + dy.shape[1]].reshape(-1), dy, dw, work)


def add_rows(rows: Numbers, given: Array, total: Array, work: Array) -> None:
    """``total[rows[i]] += given[i]``; ``given`` has as many rows of F as there are numbers."""
    features = total.shape[1]
    given = given.reshape(-1, features)
    step = work.size // features
    for at in range(0, len(rows), step):
        numbers = rows[at : at + step]
        order = np.argsort(numbers, kind="stable")
        sorted_numbers = numbers[order]
        starts = np.flatnonzero(np.diff(sorted_numbers, prepend=-1))
        place = work[: len(order) * features].reshape(-1, features)
        np.take(given[at : at + step], order, axis=0, out=place, mode="clip")
        total[sorted_numbers[starts]] += np.add.reduceat(place, starts, axis=0)
