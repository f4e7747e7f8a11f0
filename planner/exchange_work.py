"""What the lanes and links of one exchange must do at least: arrays over the moves of an algorithm.

From the moves follow, for any bucket, the earliest start of every move and the longest way that is
left after it (chains of moves, each as long as alone), and so a bound for every lane and link: its
*fill* (no move of its can start earlier), its work, its *drain* (the update that follows its last
move is at least so far away). Index letters as in ``planner.moves``; B buckets of a cut, L lanes
and links.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.link import Route
from hwprofiles.units import PS_PER_S, Floats, Ints, to_ps
from planner.collectives.base import Prices
from planner.moves import Groups, Moves, fitting_moves

ROUNDING_FRAC = 2.0**-30
"""Taken off the time of a shared link: rates of flows are floats, and their sum may exceed it."""

LATER = np.iinfo(np.int64).max // 4
"""Where a lane has nothing to do."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Work:
    """What every lane and link must do in one exchange, by size of the bucket, shape (L, N)."""

    sizes: dict[int, int]
    """Column of each number of elements."""
    fill_ps: Ints
    work_ps: Ints
    drain_ps: Ints
    compute_ps: Ints
    """(K, N) additions, and transfers where they hold the compute lane."""
    chain_ps: Ints
    """(N,) longest chain of moves."""

    def rest_ps(self, elements: Sequence[int]) -> tuple[int, ...]:
        """Return by bucket: the time that it and all after it take at least, once one is ready.

        That is the largest over lanes and links of the least fill, all the work and the least
        drain of these buckets.
        """
        columns = [self.sizes[n] for n in reversed(elements)]
        fill, drain = (
            np.minimum.accumulate(a[:, columns], axis=1) for a in (self.fill_ps, self.drain_ps)
        )
        work = np.cumsum(self.work_ps[:, columns], axis=1)
        busy = np.where(work > 0, fill + work + drain, 0)
        return tuple(busy.max(axis=0)[::-1].tolist())

    def busiest_ps(self, elements: Sequence[int]) -> int:
        """Return the work of the busiest compute lane over all buckets."""
        return int(self.compute_ps[:, [self.sizes[n] for n in elements]].sum(axis=1).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Routes between the ranks of a placement."""

    cluster: Cluster
    placement: tuple[int, ...]
    item_bytes: int

    def route(self, src: int, dst: int) -> Route:
        """Return the route from rank to rank."""
        return self.cluster.route(self.placement[src], self.placement[dst])

    def kind(self, src: int, dst: int) -> object:
        """Return what is equal for moves that cost the same: links crossed, or who adds."""
        if src == dst:
            return self.cluster.devices[self.placement[src]].name
        return tuple(map(id, self.route(src, dst).links))

    def rates(self, pairs: Ints) -> Floats:
        """Return the rate of a lone transfer of each pair, shape (n, 2); of one rank, who adds."""
        names = sorted({device.name for device in self.cluster.devices})
        known: dict[object, float] = {}
        found = []
        for src, dst in pairs.tolist():
            kind = self.kind(src, dst)
            if kind not in known:
                alone = src == dst
                rate = 0.0 if alone else self.route(src, dst).bandwidth_bytes_per_s
                known[kind] = float(names.index(str(kind))) if alone else rate
            found.append(known[kind])
        return np.array(found)


def work_of(
    name: str,
    sizes: Sequence[int],
    prices: Prices,
    update_ps: Callable[[int], int],
    routes: Routes,
) -> Work:
    """Return what lanes and links do in an exchange of each of ``sizes`` elements."""
    moves = fitting_moves(name, prices.ranks, routes.rates)
    distinct, seats = sorted(set(sizes)), moves.seats
    widths = moves.widths(distinct)
    duration, idle = _durations(moves, widths, prices, routes)
    update = np.array([update_ps(n) for n in distinct], dtype=np.int64)
    head, tail = moves.times(duration, update)

    def lane(groups: Groups, some: Ints) -> list[Ints]:
        """Return fill, work and drain by rank."""
        of = (head[some], duration[some], tail[some])
        return [groups.by_key(f, a, seats, e) for f, a, e in zip(REDUCE, of, EMPTY, strict=True)]

    lanes = [lane(moves.by_src, moves.sends), lane(moves.by_dst, moves.sends)]
    fill, additions, _ = lane(moves.by_adder, moves.adds)
    ready = np.array([(head[t] + duration[t]).max(axis=0) for t in moves.last])
    fill = np.minimum(fill, ready)
    if prices.holds_compute:
        fill = np.minimum.reduce([fill, lanes[0][0], lanes[1][0]])
        additions = additions + lanes[0][1] + lanes[1][1]
        lanes = []
    lanes.append([fill, additions + update, np.zeros_like(additions)])
    lanes.append(_links(moves, widths, (head + idle, tail), routes))
    fills, works, drains = (np.concatenate(arrays) for arrays in zip(*lanes, strict=True))
    return Work(
        sizes={n: i for i, n in enumerate(distinct)},
        fill_ps=fills,
        work_ps=works,
        drain_ps=drains,
        compute_ps=additions,
        chain_ps=(head + duration + tail).max(axis=0) - update,
    )


REDUCE = (np.minimum, np.add, np.minimum)
EMPTY = (LATER, 0, LATER)
"""Fill, work and drain of several moves, and of none."""


def _durations(
    moves: Moves, span_widths: Ints, prices: Prices, routes: Routes
) -> tuple[Ints, Ints]:
    """Time of each move alone, and the part of it in which no byte moves, shape (T, N)."""
    kinds: dict[object, tuple[int, int]] = {}
    classes: dict[tuple[object, ...], int] = {}
    of_pair = []
    for members in moves.members:
        of_members = {routes.kind(*ends): tuple(ends) for ends in members.tolist()}
        kinds |= of_members
        of_pair.append(classes.setdefault(tuple(of_members), len(classes)))
    widths, width_of = np.unique(span_widths, return_inverse=True)
    alone = {kind: _lone(src, dst, widths, prices, routes) for kind, (src, dst) in kinds.items()}
    # a pair takes as long as the quickest that it stands for
    quickest = [np.min([alone[kind] for kind in some], axis=0) for some in classes]
    at = width_of.reshape(len(moves.spans), -1)
    rows = np.array(of_pair)[moves.pair_of] * len(moves.spans) + moves.span_of
    by_kind = np.stack(quickest, axis=1)[:, :, at].reshape(2, -1, at.shape[1])
    all_ps, idle_ps = by_kind[:, rows]
    return all_ps, idle_ps


def _lone(src: int, dst: int, widths: Ints, prices: Prices, routes: Routes) -> tuple[Ints, Ints]:
    """Time of a move of each width, and the part of it in which no byte moves."""
    if src == dst:
        added = np.array([prices.add_ps(src, n) for n in widths.tolist()], dtype=np.int64)
        return added, np.zeros_like(added)
    payload = widths * np.float64(routes.item_bytes)
    return lone_ps(routes.route(src, dst), payload)


@overload
def lone_ps(route: Route, payload_bytes: float) -> tuple[int, int]: ...
@overload
def lone_ps(route: Route, payload_bytes: Floats) -> tuple[Ints, Ints]: ...
def lone_ps(route: Route, payload_bytes: Any) -> Any:
    """Return the time of lone transfers as ``lower`` rounds it, and their overhead alone."""
    overhead = to_ps(route.overhead_s(payload_bytes))
    return overhead + to_ps(payload_bytes / route.bandwidth_bytes_per_s), overhead


def _links(moves: Moves, span_widths: Ints, times: tuple[Ints, Ints], routes: Routes) -> list[Ints]:
    """Return fill, work and drain of the links that the transfers cross, shape (links, N)."""
    starts, rests = (array[moves.sends] for array in times)
    width = span_widths[moves.span_of[moves.sends]]
    of = (starts, width * routes.item_bytes, rests)
    by_pair = [moves.by_pair.reduce(f, a) for f, a in zip(REDUCE, of, strict=True)]
    crossed = [
        (place, link)
        for place, pair in enumerate(moves.by_pair.keys.tolist())
        for ends in moves.members[pair].tolist()
        for link in routes.route(*ends).link_ids
    ]
    place, link = np.array(crossed, dtype=np.int64).T
    by_link = Groups.of(link)
    fill, payload, drain = (
        by_link.reduce(f, a[place]) for f, a in zip(REDUCE, by_pair, strict=True)
    )
    rate = np.array([routes.cluster.links[i].bandwidth_bytes_per_s for i in by_link.keys])
    work = np.floor(payload / rate[:, None] * (PS_PER_S * (1 - ROUNDING_FRAC))).astype(np.int64)
    return [fill, work, drain]
