"""What the lanes and links of one exchange must do at least: arrays over the moves of an algorithm.

From the moves follow, for any bucket, the earliest start of every move and the longest way that is
left after it (chains of moves, each as long as alone), and so a bound for every lane and link: its
*fill* (no move of its can start earlier), its work, its *drain* (the update that follows its last
move is at least so far away). Two lanes on both sides of a pivot (``planner.pivots``) are one more
row: the work of a bucket is then the smaller part of the two, and one bucket has the larger one
*once* besides. Index letters as in ``planner.moves``; L lanes, links and pivots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np

from hwprofiles.link import Route
from hwprofiles.units import Floats, Ints, to_ps
from planner.algorithms import algorithm, turns
from planner.collectives.base import Prices
from planner.crossings import EMPTY, LATER, REDUCE, Crossed, Routes
from planner.crowds import Crowds, tells_waits
from planner.delays import delay_rows, delayed_ps, no_delays
from planner.groups import Groups
from planner.late_moves import LateMoves
from planner.moves import Moves, block_edges, by_name, channels_of, moves_of
from planner.pivots import busy_ps, pivot_rows, stacked_rows
from planner.switching import Joined, carried

MIXED = np.array([3**n for n in range(19, 37, 2)], dtype=np.int64)
"""Factors of the columns in whose sum rows that differ seldom agree."""

BUSIEST = 8
"""Rows that others are compared with."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Work:
    """What every lane and link must do in one exchange, by size of the bucket, shape (L, N)."""

    sizes: dict[int, int]
    """Column of each number of elements."""
    links: Ints
    """Ids of the links; theirs are the last rows."""
    fill_ps: Ints
    work_ps: Ints
    drain_ps: Ints
    compute_ps: Ints
    """(ranks, N) additions, and transfers where they hold the compute lane."""
    chain_ps: Ints
    """(N,) longest chain of moves and crowds."""
    all_ps: Ints
    """(N,) all moves, one after the other."""
    pivot_ps: Ints
    """(4, V, N) as in ``planner.pivots``."""
    delay_ps: Ints
    """(4, D, N) as in ``planner.delays``."""
    late: LateMoves | None = None
    """Where moves are few enough to be looked at one by one."""

    def rest_ps(self, elements: Sequence[int]) -> tuple[int, ...]:
        """Return by bucket: the time that it and all after it take at least, once one is ready.

        That is the largest over lanes and links of the least fill, all the work and the least
        drain of these buckets; or over pivots, of which one bucket has the larger work besides.
        """
        columns = [self.sizes[n] for n in reversed(elements)]
        fill, work, drain = self._telling[:, :, columns]
        fill, drain = (np.minimum.accumulate(a, axis=1) for a in (fill, drain))
        work = np.cumsum(work, axis=1)
        busy = np.where(work > 0, fill + work + drain, 0).max(axis=0)
        if self.pivot_ps.shape[1]:
            busy = np.maximum(busy, busy_ps(self.pivot_ps[:, :, columns]))
        return tuple(busy[::-1].tolist())

    def delayed_ps(self, elements: Sequence[int]) -> tuple[int, ...]:
        """Return by bucket what follows when it would be whole if no rank had anything to add.

        Buckets are in the order in which they become whole, one after the other.
        """
        columns = [self.sizes[n] for n in elements]
        return tuple(delayed_ps(self.delay_ps[:, :, columns]).tolist())

    def late_ps(
        self,
        elements: Sequence[int],
        slots: int,
        ready_ps: Ints,
        firings: Sequence[Ints],
        updates_ps: int,
    ) -> Ints:
        """Return what a step takes at least, (W,), as in ``planner.late_moves``; 0 if not told.

        So many arrivals may wait to be added in a landing register.
        """
        if self.late is None:
            return np.zeros(len(ready_ps), dtype=np.int64)
        columns = [self.sizes[n] for n in elements]
        return self.late.landing(slots).late_ps(columns, ready_ps, firings, updates_ps)

    @cached_property
    def _telling(self) -> Ints:
        """Fill, work and drain of lanes and links that can be the busiest, (3, rows, N).

        Ranks are often alike: rows count as alike where a sum over three sizes says so, unless one
        does not agree. What has less to do of all three than one of the busiest rows says nothing.
        """
        rows = np.stack([self.fill_ps, self.work_ps, self.drain_ps], axis=1)
        some = rows[:, :, [0, rows.shape[2] // 2, -1]].reshape(len(rows), -1)
        weighted = some @ MIXED  # what wraps over 64 bits tells rows apart as well
        _, first, which = np.unique(weighted, return_index=True, return_inverse=True)
        other = (rows != rows[first[which]]).any(axis=(1, 2))
        rows = rows[np.union1d(first, np.flatnonzero(other))]
        rows = rows[np.argsort(-rows.sum(axis=(1, 2), dtype=np.float64), kind="stable")]
        for place in range(min(BUSIEST, len(rows))):
            less = (rows <= rows[min(place, len(rows) - 1)]).all(axis=(1, 2))
            less[: place + 1] = False
            rows = rows[~less]
        found: Ints = rows.swapaxes(0, 1)
        return found

    def serial_ps(self, elements: Sequence[int]) -> Ints:
        """Return by bucket: the time of all its moves, one after the other."""
        found: Ints = self.all_ps[[self.sizes[n] for n in elements]]
        return found

    def busiest_ps(self, elements: Sequence[int]) -> int:
        """Return the work of the busiest compute lane over all buckets."""
        return int(self.compute_ps[:, [self.sizes[n] for n in elements]].sum(axis=1).max())


def work_of(
    name: str,
    sizes: Sequence[int],
    prices: Prices,
    update_ps: Callable[[int], int],
    routes: "Routes",
) -> Work:
    """Return what lanes and links do in an exchange of each of ``sizes`` elements."""
    parts = by_name(name, sorted(set(sizes)))
    channels = channels_of(parts, prices.ranks)
    works = [_work(part, some, prices, update_ps, routes, channels) for part, some in parts.items()]
    whole = works[0] if len(works) == 1 else _joined(works)
    return whole if len(turns(name)) == 1 else replace(whole, late=None)  # whatever the sizes


def _joined(works: Sequence[Work]) -> Work:
    """Return the work of sizes that different algorithms run; they may cross different links."""
    lanes = len(works[0].fill_ps) - len(works[0].links)
    links = np.unique(np.concatenate([work.links for work in works]))
    rows = lanes + len(links)

    def all_of(name: str, empty: int) -> Ints:
        found = []
        for work in works:
            own: Ints = getattr(work, name)
            whole = np.full((rows, own.shape[1]), empty, dtype=np.int64)
            whole[:lanes] = own[:lanes]
            whole[lanes + np.searchsorted(links, work.links)] = own[lanes:]
            found.append(whole)
        return np.concatenate(found, axis=1)

    order = [elements for work in works for elements in work.sizes]
    return Work(
        sizes={elements: i for i, elements in enumerate(order)},
        links=links,
        fill_ps=all_of("fill_ps", LATER),
        work_ps=all_of("work_ps", 0),
        drain_ps=all_of("drain_ps", LATER),
        compute_ps=np.concatenate([work.compute_ps for work in works], axis=1),
        chain_ps=np.concatenate([work.chain_ps for work in works]),
        all_ps=np.concatenate([work.all_ps for work in works]),
        pivot_ps=stacked_rows([work.pivot_ps for work in works]),
        delay_ps=np.concatenate([work.delay_ps for work in works], axis=2),
    )


def _work(
    name: str,
    sizes: Sequence[int],
    prices: Prices,
    update_ps: Callable[[int], int],
    routes: "Routes",
    channels: int,
) -> Work:
    """Return the work of one algorithm; every rank has lanes for so many ``channels``."""
    moves, ranks = moves_of(algorithm(name).emit, prices.ranks), prices.ranks
    distinct = list(sizes)
    edges = block_edges(moves.blocks, distinct)
    width = edges[moves.end] - edges[moves.first]
    duration, idle = _durations(moves, edges, prices, routes)
    for part in (duration, idle):
        part[moves.first_sends] += [prices.library_ps(name, n) for n in distinct]
    update = np.array([update_ps(n) for n in distinct], dtype=np.int64)
    crossed = Crossed.of(moves, routes)
    crowding = Crowds.of(moves, crossed, routes).on(width, idle, duration, routes.item_bytes)
    head, tail = moves.times(duration, update, crowding)
    tells_one_by_one = (
        tells_waits(moves, len(routes.cluster.devices))
        and not prices.holds_compute
        and not crossed.switched
    )

    def lane(groups: Groups, some: Ints, own: int) -> list[Ints]:
        """Return fill, work and drain, (channels, ranks, N); those of a switch have no end."""
        of, found = (head[some], duration[some], tail[some]), []
        for ufunc, array, empty in zip(REDUCE, of, EMPTY, strict=True):
            seats = groups.by_key(ufunc, array, (ranks + 1) * own, empty)
            rows = np.full((channels, ranks, len(distinct)), empty, dtype=np.int64)
            rows[:own] = seats.reshape(ranks + 1, own, -1)[:ranks].swapaxes(0, 1)
            found.append(rows)
        return found

    lanes = [lane(some, moves.sends, moves.channels) for some in (moves.by_src, moves.by_dst)]
    fill, additions = (array[0] for array in lane(moves.by_adder, moves.adds, 1)[:2])
    ready = np.array([(head[t] + duration[t]).max(axis=0) for t in moves.last])
    fill = np.minimum(fill, ready)
    if prices.holds_compute:
        for first, work, _ in lanes:
            fill, additions = np.minimum(fill, first.min(axis=0)), additions + work.sum(axis=0)
        lanes = []
    lanes = [[np.concatenate(array) for array in some] for some in lanes]
    lanes.append([fill, additions + update, np.zeros_like(additions)])
    lanes.append(crossed.work(moves, width, (head + idle, tail)))
    fills, works, drains = (np.concatenate(arrays) for arrays in zip(*lanes, strict=True))
    return Work(
        sizes={n: i for i, n in enumerate(distinct)},
        links=crossed.links,
        fill_ps=fills,
        work_ps=works,
        drain_ps=drains,
        compute_ps=additions,
        chain_ps=np.maximum((head + duration + tail).max(axis=0), crowding.longest_ps(head, tail))
        - update,
        all_ps=duration.sum(axis=0),
        pivot_ps=pivot_rows(moves, routes, width, (head, head + idle, duration, tail))
        if not prices.holds_compute  # else one lane has what is before and after
        else stacked_rows([], len(distinct)),
        delay_ps=delay_rows(moves, len(routes.cluster.devices), channels, (duration, tail))
        if not prices.holds_compute  # else passes are put off by transfers too
        else no_delays(0, len(distinct)),
        late=LateMoves(
            moves=moves,
            crossed=crossed,
            width=width,
            head_ps=head,
            idle_ps=idle,
            duration_ps=duration,
            tail_ps=tail,
            update_ps=update,
        )
        if tells_one_by_one
        else None,
    )


def _durations(moves: Moves, edges: Ints, prices: Prices, routes: Routes) -> tuple[Ints, Ints]:
    """Time of each move alone, and the part of it in which no byte moves, shape (T, N).

    ``edges`` is where the blocks begin and end.
    """
    ends = np.stack(np.divmod(moves.pairs, prices.ranks + 1), axis=1)
    kinds, of_pair = np.unique(routes.kinds(ends), return_inverse=True)
    kind_of = of_pair[moves.pair_of]
    first, end = moves.spans.T
    widths, width_of = np.unique(edges[end] - edges[first], return_inverse=True)
    whole = np.zeros((len(kinds), len(widths)), dtype=np.int64)
    idle = np.zeros_like(whole)
    for row, kind in enumerate(kinds.tolist()):
        src, dst = routes.ends[kind]
        if src == dst:
            whole[row] = [prices.add_ps(src, n) for n in widths.tolist()]
        else:
            route = routes.route(src, dst)
            payload = carried(route, widths * routes.item_bytes)
            whole[row], idle[row] = lone_ps(route, payload * 1.0)
    at = width_of.reshape(len(moves.spans), -1)
    rows = kind_of * len(moves.spans) + moves.span_of
    by_kind = (array[:, at].reshape(-1, at.shape[1]) for array in (whole, idle))
    all_ps, idle_ps = (array[rows] for array in by_kind)
    return all_ps, idle_ps


@overload
def lone_ps(route: Route | Joined, payload_bytes: float) -> tuple[int, int]: ...
@overload
def lone_ps(route: Route | Joined, payload_bytes: Floats) -> tuple[Ints, Ints]: ...
def lone_ps(route: Route | Joined, payload_bytes: Any) -> Any:
    """Return the time of lone transfers as ``lower`` rounds it, and their overhead alone."""
    overhead = to_ps(route.overhead_s(payload_bytes))
    return overhead + to_ps(payload_bytes / route.bandwidth_bytes_per_s), overhead
