"""Moves that all the work of one lane comes before and all that of another after: turning points.

A server sends nothing before it has added everything. Let a bucket have the *pivot* k, a move,
with work a before it on lane A, and b after it on lane B. When k is over, another bucket has either
done all its work on A, or has all its work on B still to do. So a step takes at least, for any
bucket, its own a + b, and the smaller one of every other bucket's: Johnson's two machines (Naval
Research Logistics Quarterly 1, 1954), whatever the order, and however buckets take turns.

Index letters as in ``planner.moves``; V pivots. The *rows* of a pivot are, by size: fill of lane A,
the smaller and the larger one of a and b, drain of lane B.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Ints
from planner.crossings import LATER, REDUCE, Crossed
from planner.moves import Moves

MOST = 2
"""Pivots looked at: a double tree has two roots."""

EMPTY_ROWS = np.array([LATER, 0, 0, LATER])
"""Of sizes that have no such pivot."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pivot:
    """A move with much before it and much after it."""

    before: npt.NDArray[np.bool_]
    """(T,) moves that must be over when it is, itself among them."""
    after: npt.NDArray[np.bool_]
    """(T,) moves that wait for it."""


@cache
def pivots_of(moves: Moves) -> tuple[Pivot, ...]:
    """Return the last additions of ranks that tell more than any lane of its own, the best first.

    That is told in blocks: where the busiest lane before one and the busiest after it have together
    more to move than any lane has in sum.
    """
    if not len(moves.adds):
        return ()
    ranks, at = np.unique(moves.src[moves.adds][::-1], return_index=True)
    last = moves.adds[len(moves.adds) - 1 - at]
    before, after = (_linked(moves, last, forward=forward) for forward in (False, True))
    before[last, np.arange(len(ranks))] = True
    blocks = moves.end - moves.first
    told = _most_blocks(moves, blocks, before) + _most_blocks(moves, blocks, after)
    whole = _most_blocks(moves, blocks, np.ones((moves.count, 1), dtype=np.bool_))
    best = [v for v in np.argsort(-told, kind="stable").tolist() if told[v] > whole[0]]
    return tuple(Pivot(before=before[:, v], after=after[:, v]) for v in best[:MOST])


def _linked(moves: Moves, pivots: Ints, *, forward: bool) -> npt.NDArray[np.bool_]:
    """Return which moves a pivot leads to (or, not ``forward``, which lead to it), (T, V)."""
    found = np.zeros((moves.count, len(pivots)), dtype=np.bool_)
    found[pivots, np.arange(len(pivots))] = True
    for some, others, starts in moves.levels if forward else moves.back:
        found[some] |= np.logical_or.reduceat(found[others], starts, axis=0)
    found[pivots, np.arange(len(pivots))] = False
    return found


def _most_blocks(moves: Moves, blocks: Ints, chosen: npt.NDArray[np.bool_]) -> Ints:
    """Return what the busiest lane has to move of the chosen ones, (V,)."""
    moved = (blocks[:, None] * chosen)[moves.sends]
    lanes = [groups.reduce(np.add, moved).max(axis=0) for groups in (moves.by_src, moves.by_dst)]
    found: Ints = np.maximum(*lanes)
    return found


def pivot_rows(moves: Moves, crossed: Crossed, width: Ints, times: tuple[Ints, ...]) -> Ints:
    """Return the rows of all pivots, (4, V, N).

    Parameters
    ----------
    width : int array, shape (T, N)
        Elements moved.
    times : four int arrays, each (T, N)
        Of each move: earliest start, that of its bytes, duration, and what follows its end.
    """
    found = []
    for pivot in pivots_of(moves):
        fill, before, _ = _busiest(moves, pivot.before[:, None], crossed, width, times)
        _, after, drain = _busiest(moves, pivot.after[:, None], crossed, width, times)
        found.append([fill, np.minimum(before, after), np.maximum(before, after), drain])
    return stacked_rows([], width.shape[1]) if not found else np.stack(found, axis=1)


def _busiest(
    moves: Moves,
    chosen: npt.NDArray[np.bool_],
    crossed: Crossed,
    width: Ints,
    times: tuple[Ints, ...],
) -> tuple[Ints, ...]:
    """Return fill, work and drain, each (N,), of the lane or link with most work in some moves."""
    start, flows, rest = (np.where(chosen, times[i], LATER) for i in (0, 1, 3))
    of = tuple(array[moves.sends] for array in (start, times[2] * chosen, rest))
    rows = [
        [groups.reduce(f, a) for f, a in zip(REDUCE, of, strict=True)]
        for groups in (moves.by_src, moves.by_dst)
    ]
    rows.append(crossed.work(moves, width * chosen, (flows, rest)))
    fill, work, drain = (np.concatenate(arrays) for arrays in zip(*rows, strict=True))
    at = int(np.argmax(work[:, -1]))  # of the largest size
    return fill[at], work[at], drain[at]


def stacked_rows(rows: Sequence[Ints], sizes: int = 0) -> Ints:
    """Return the rows of all pivots of algorithms that have sizes of their own, (4, V, N)."""
    count = sum(own.shape[1] for own in rows)
    found = np.tile(EMPTY_ROWS[:, None, None], (1, count, sizes + sum(r.shape[2] for r in rows)))
    row, column = 0, 0
    for own in rows:
        _, pivots, size = own.shape
        found[:, row : row + pivots, column : column + size] = own
        row, column = row + pivots, column + size
    return found


def busy_ps(rows: Ints) -> Ints:
    """Return what the first bucket takes at least, the first two, and so on, (B,).

    ``rows`` are those of buckets in some order, (4, V, B).
    """
    fill, work, once, drain = rows
    fill, drain = (np.minimum.accumulate(array, axis=1) for array in (fill, drain))
    once = np.maximum.accumulate(once, axis=1)
    busy: Ints = np.where(once > 0, fill + np.cumsum(work, axis=1) + once + drain, 0)
    most: Ints = busy.max(axis=0)
    return most
