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

from hwprofiles.units import Ints
from planner.crossings import LATER, Routes, crossing_ps
from planner.moves import Bools, Moves

MOST = 2
"""Pivots looked at: a double tree has two roots."""

EMPTY_ROWS = np.array([LATER, 0, 0, LATER])
"""Of sizes that have no such pivot."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pivot:
    """A move, and the lanes that have most to do before and after it."""

    before: Ints
    """Moves of one lane that must be over when it is."""
    after: Ints
    """Moves of one lane that wait for it."""


@cache
def pivots_of(moves: Moves) -> tuple[Pivot, ...]:
    """Return the last additions of ranks that tell more than any lane of its own, the best first.

    That is told in blocks: where the busiest lane before one and the busiest after it have together
    more to move than any lane has in sum.
    """
    if not len(moves.adds):
        return ()
    _, at = np.unique(moves.src[moves.adds][::-1], return_index=True)
    last = moves.adds[len(moves.adds) - 1 - at]
    before, after = (_linked(moves, last, forward=forward) for forward in (False, True))
    told = _lane_blocks(moves, before).max(axis=0) + _lane_blocks(moves, after).max(axis=0)
    whole = _lane_blocks(moves, np.ones((moves.count, 1), dtype=np.bool_)).max()
    best = [v for v in np.argsort(-told, kind="stable").tolist() if told[v] > whole]
    return tuple(
        Pivot(before=_busiest(moves, before[:, [v]]), after=_busiest(moves, after[:, [v]]))
        for v in best[:MOST]
    )


def _linked(moves: Moves, pivots: Ints, *, forward: bool) -> Bools:
    """Return which moves a pivot leads to (or, not ``forward``, which lead to it), (T, V)."""
    found = np.zeros((moves.count, len(pivots)), dtype=np.bool_)
    found[pivots, np.arange(len(pivots))] = True
    for some, others in moves.levels if forward else moves.back:
        found[some] |= others.reduce(np.logical_or, found)
    return found


def _lane_blocks(moves: Moves, chosen: Bools) -> Ints:
    """Return what the lanes, first those that send, have to move of the chosen ones, (lanes, V)."""
    moved = ((moves.end - moves.first)[:, None] * chosen)[moves.sends]
    lanes = [groups.reduce(np.add, moved) for groups in (moves.by_src, moves.by_dst)]
    found: Ints = np.concatenate(lanes)
    return found


def _busiest(moves: Moves, chosen: Bools) -> Ints:
    """Return the chosen moves, (T, 1), of the lane that has most of them."""
    lane = int(np.argmax(_lane_blocks(moves, chosen)[:, 0]))
    groups = moves.by_src if lane < len(moves.by_src.keys) else moves.by_dst
    own = moves.sends[groups.rows(lane % len(moves.by_src.keys))]
    found: Ints = own[chosen[own, 0]]
    return found


def pivot_rows(moves: Moves, routes: Routes, width: Ints, times: tuple[Ints, ...]) -> Ints:
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
        fill, before, _ = _of_lane(moves, pivot.before, routes, width, times)
        _, after, drain = _of_lane(moves, pivot.after, routes, width, times)
        found.append([fill, np.minimum(before, after), np.maximum(before, after), drain])
    return stacked_rows([], width.shape[1]) if not found else np.stack(found, axis=1)


def _of_lane(
    moves: Moves, some: Ints, routes: Routes, width: Ints, times: tuple[Ints, ...]
) -> tuple[Ints, ...]:
    """Return fill, work and drain, each (N,), of some moves on their lane, or on a link of them."""
    start, flows, duration, rest = (array[some] for array in times)
    best = start.min(axis=0), duration.sum(axis=0), rest.min(axis=0)
    by_link: dict[int, list[int]] = {}
    for place, move in enumerate(some.tolist()):
        for link in routes.route(int(moves.src[move]), int(moves.dst[move])).link_ids:
            by_link.setdefault(link, []).append(place)
    for link, places in by_link.items():
        rate = routes.cluster.links[link].bandwidth_bytes_per_s
        work = crossing_ps(width[some[places]].sum(axis=0) * routes.item_bytes, rate)
        if work[-1] > best[1][-1]:  # of the largest size
            best = flows[places].min(axis=0), work, rest[places].min(axis=0)
    return best


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
