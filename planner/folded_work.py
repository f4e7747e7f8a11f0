"""What lanes and links must do at least, told by a few ranks that stand for all.

The twin of ``planner.exchange_work`` for many ranks: never more than it tells, for blocks are as
wide as the narrowest, and a pair of ranks takes as long as the quickest that it stands for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.collectives.base import Prices
from planner.crossings import EMPTY, LATER, REDUCE, Routes, crossing_ps
from planner.delays import no_delays
from planner.exchange_work import Work, lone_ps
from planner.folded_moves import FoldedMoves, fitting_moves
from planner.groups import Groups
from planner.pivots import stacked_rows


def folded_work(
    name: str,
    sizes: Sequence[int],
    prices: Prices,
    update_ps: Callable[[int], int],
    routes: Routes,
) -> Work | None:
    """Return what lanes and links do in an exchange of each of ``sizes`` elements, at least.

    None where all moves must be looked at.
    """
    moves = fitting_moves(name, prices.ranks, partial(_rates, routes))
    if moves is None:
        return None
    distinct = sorted(set(sizes))
    # blocks are as wide as the narrowest, so many sizes have the same moves
    wholes, which = np.unique(np.array(distinct) // moves.blocks, return_inverse=True)
    which = which.reshape(-1)
    paid = np.full(len(wholes), LATER)
    np.minimum.at(paid, which, [prices.library_ps(name, n) for n in distinct])
    looked = _Looked.of(moves, prices, routes)
    told = (array[..., which] for array in looked.rows(wholes, paid))
    fills, works, drains, fill, additions, chain, serial = told
    update = np.array([update_ps(n) for n in distinct], dtype=np.int64)
    # an update follows every last move, so it is part of every drain
    own = (fill, additions + update, np.zeros_like(additions))
    at = len(fills) - len(looked.by_link.keys)
    fills, works, drains = (
        np.insert(array, at, rows, axis=0)
        for array, rows in zip((fills, works, drains + update), own, strict=True)
    )
    return Work(
        sizes={n: i for i, n in enumerate(distinct)},
        links=looked.by_link.keys,
        fill_ps=fills,
        work_ps=works,
        drain_ps=drains,
        compute_ps=additions,
        chain_ps=chain,
        all_ps=serial,
        pivot_ps=stacked_rows([], len(distinct)),  # of alike ranks none is a root
        delay_ps=no_delays(0, len(distinct)),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Looked:
    """Moves, and all that is known of their ends whatever the size."""

    moves: FoldedMoves
    prices: Prices
    routes: Routes
    classes: Sequence[tuple[int, ...]]
    """Of ``Routes.kinds`` those that one move stands for, different ones."""
    class_of: Ints
    """By kind of move: which of these."""
    place: Ints
    """By crossing: which of ``moves.sending`` crosses."""
    by_link: Groups
    """Crossings by link."""
    rate: Floats
    """By link, bytes per second."""

    @classmethod
    def of(cls, moves: FoldedMoves, prices: Prices, routes: Routes) -> "_Looked":
        """Follow the routes of all pairs."""
        crossed = [
            (place, link)
            for place, pair in enumerate(moves.sending.tolist())
            for ends in moves.members[pair].tolist()
            for link in routes.route(*ends).link_ids
        ]
        place, link = np.array(crossed, dtype=np.int64).T
        by_link = Groups.of(link)
        links = routes.cluster.links
        classes: dict[tuple[int, ...], int] = {}
        of_pair = [
            classes.setdefault(tuple(np.unique(routes.kinds(members)).tolist()), len(classes))
            for members in moves.members
        ]
        return cls(
            moves=moves,
            prices=prices,
            routes=routes,
            classes=tuple(classes),
            class_of=np.array(of_pair)[moves.kinds.pair],
            place=place,
            by_link=by_link,
            rate=np.array([links[i].bandwidth_bytes_per_s for i in by_link.keys]),
        )

    def rows(self, wholes: Ints, paid_ps: Ints) -> tuple[Ints, ...]:
        """Return what is known of buckets whose blocks have so many elements.

        That is fill, work and drain of lanes and links, (rows, N); fill and work of compute lanes,
        (seats, N); the longest chain of moves and the sum of all, (N,). Updates are not counted.
        """
        moves, kinds = self.moves, self.moves.kinds
        duration, idle = self._durations(wholes)
        for part in (duration, idle):
            part[kinds.leads] += paid_ps
        end, rest = moves.times(duration)
        head = kinds.alike.reduce(np.minimum, end) - duration
        work = kinds.alike.sizes[:, None] * duration
        tail = kinds.alike.reduce(np.minimum, rest) - duration

        def lane(seats: Ints, some: Ints, own: int) -> list[Ints]:
            """Return fill, work and drain by rank and ``own`` lanes of it."""
            of, rows = zip(REDUCE, (head, work, tail), EMPTY, strict=True), moves.seats * own
            by_seat = Groups.of(seats[some])
            return [by_seat.by_key(f, array, rows, empty, some) for f, array, empty in of]

        seats = (
            end * moves.channels + channel
            for end, channel in ((kinds.src, kinds.out), (kinds.dst, kinds.into))
        )
        lanes = [lane(some, kinds.sends, moves.channels) for some in seats]
        fill, additions, _ = lane(kinds.src, kinds.adds, 1)
        ready = np.array([end[t].max(axis=0) for t in moves.last])
        fill = np.minimum(fill, ready)
        if self.prices.holds_compute:
            for some in lanes:
                first, busy, _ = (a.reshape(moves.seats, moves.channels, -1) for a in some)
                fill, additions = np.minimum(fill, first.min(axis=1)), additions + busy.sum(axis=1)
            lanes = []
        lanes.append(self._links(wholes, (head + idle, tail)))
        chain, serial = ready.max(axis=0), work.sum(axis=0)
        return *map(np.concatenate, zip(*lanes, strict=True)), fill, additions, chain, serial

    def _durations(self, wholes: Ints) -> tuple[Ints, Ints]:
        """Time of a move of each kind, and the part of it in which no byte moves, shape (G, N)."""
        blocks, blocks_of = np.unique(self.moves.kinds.blocks, return_inverse=True)
        widths, width_of = np.unique(blocks[:, None] * wholes, return_inverse=True)
        alone = {kind: self._lone(kind, widths) for some in self.classes for kind in some}
        # a pair takes as long as the quickest that it stands for
        quickest = [np.min([alone[kind] for kind in some], axis=0) for some in self.classes]
        columns = width_of.reshape(len(blocks), -1)[blocks_of]
        all_ps, idle_ps = np.stack(quickest, axis=1)[:, self.class_of[:, None], columns]
        return all_ps, idle_ps

    def _lone(self, kind: int, widths: Ints) -> tuple[Ints, Ints]:
        """Time of a move of each width, and the part of it in which no byte moves."""
        src, dst = self.routes.ends[kind]
        if src == dst:
            added = [self.prices.add_ps(src, n) for n in widths.tolist()]
            return np.array(added, dtype=np.int64), np.zeros_like(widths)
        payload = widths * np.float64(self.routes.item_bytes)
        return lone_ps(self.routes.route(src, dst), payload)

    def _links(self, wholes: Ints, times: tuple[Ints, Ints]) -> list[Ints]:
        """Return fill, work and drain of the links that the transfers cross, (links, N)."""
        kinds = self.moves.kinds
        blocks = (kinds.alike.sizes * kinds.blocks)[:, None]
        of = zip(REDUCE, (times[0], blocks, times[1]), strict=True)
        by_pair = Groups.of(kinds.pair[kinds.sends])
        pairs = [by_pair.reduce(f, array, kinds.sends) for f, array in of]
        fill, blocks, drain = (
            self.by_link.reduce(f, a[self.place]) for f, a in zip(REDUCE, pairs, strict=True)
        )
        payload = blocks * (wholes * self.routes.item_bytes)
        return [fill, crossing_ps(payload, self.rate[:, None]), drain]


def _rates(routes: Routes, pairs: Ints) -> Floats:
    """Return the rate of a lone transfer of each pair, shape (n, 2); of one rank, who adds."""
    kinds, devices = routes.kinds(pairs), routes.cluster.devices
    names = sorted({device.name for device in devices})
    found = [
        float(names.index(devices[routes.placement[src]].name))
        if src == dst
        else routes.route(src, dst).bandwidth_bytes_per_s
        for src, dst in routes.ends
    ]
    return np.array(found)[kinds]
