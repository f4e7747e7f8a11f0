"""When passes and exchanges of many plans are over: the array twin of ``planner.cost.compose``.

Index letters: W ways in which microbatches wait, K algorithms and numbers of landing slots, B
buckets of a cut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hwprofiles.units import Ints
from planner.cost import are_unbroken, by_size, ready_ps, starts
from planner.exchange_work import Work
from planner.firings import NO_FIRINGS, firings_ps
from planner.piece_prices import UpdateTimes
from planner.rounds import PassTimes, Rounds


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Waits:
    """When passes and gradients are done, by how microbatches wait; W ways that differ."""

    of_slots: Ints
    """Which of the ways each pair of input and activation slots has."""
    starts: Ints
    """(W, 3) as in ``planner.cost.Starts``: the quickest device, the slowest, all loads."""
    ready: tuple[Ints, ...]
    """By bucket size, (W, B): the last gradient of each bucket."""
    unbroken: Ints
    """(W, bucket sizes) whether ``planner.cost.are_unbroken``."""
    firings: tuple[Ints, ...]
    """By way: ``planner.firings.firings_ps``."""

    @classmethod
    def of(
        cls, passes: Sequence[PassTimes], rounds: Sequence[Rounds], cuts: Sequence[Ints]
    ) -> "Waits":
        """Work them out for each of ``rounds``; ``cuts`` are the places of the buckets."""
        distinct = {r: i for i, r in enumerate(dict.fromkeys(rounds))}
        places, ends = np.concatenate(cuts), np.cumsum([*map(len, cuts)])[:-1]
        rows, firings = [], [firings_ps(passes, some) for some in distinct]
        for some, told in zip(distinct, firings, strict=True):
            at = starts(passes, some)
            ready = ready_ps(passes, some, places)
            whole = np.split(ready, ends)
            unbroken = (are_unbroken(passes, some, *of) for of in zip(cuts, whole, strict=True))
            known = (*unbroken, told.size > 0)
            rows.append([at.begin_ps, at.slowest_ps, at.load_ps, *known, *ready.tolist()])
        kept, one, which = np.unique(
            np.array(rows, dtype=np.int64), axis=0, return_index=True, return_inverse=True
        )
        return cls(
            of_slots=which.ravel()[[distinct[r] for r in rounds]],
            starts=kept[:, :3],
            ready=tuple(np.split(kept[:, 4 + len(cuts) :], ends, axis=1)),
            unbroken=kept[:, 3 : 3 + len(cuts)],
            firings=tuple(firings[i] for i in one.tolist()),
        )

    @classmethod
    def joined(cls, several: Sequence["Waits"]) -> "Waits":
        """Return those of several microbatches, one after the other."""
        if len(several) == 1:
            return several[0]
        begins = np.cumsum([0, *(len(waits.starts) for waits in several[:-1])])
        shifted = [w.of_slots + begin for w, begin in zip(several, begins, strict=True)]
        cuts = zip(*(waits.ready for waits in several), strict=True)
        return cls(
            of_slots=np.concatenate(shifted),
            starts=np.concatenate([waits.starts for waits in several]),
            ready=tuple(np.concatenate(cut) for cut in cuts),
            unbroken=np.concatenate([waits.unbroken for waits in several]),
            firings=tuple(of for waits in several for of in waits.firings),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OneExchange:
    """An algorithm with so many landing slots."""

    work: Work | None
    cost_ps: Callable[[int], int]
    """Elements to the time of one uncontended exchange."""
    slots: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Exchanges:
    """Exchange and update of one placement and cut, by algorithm and landing slots.

    What the exchange of a bucket takes is worked out where it can matter: a bucket that is ready
    early is over long before the last one, even if all its moves came one after the other.
    """

    costs: Sequence[OneExchange]
    """K of them."""
    elements: Sequence[int]
    """Of the buckets."""
    following_ps: Ints
    """(B,) what follows the exchange of a bucket."""
    update_ps: int
    """All updates."""
    rest_ps: Ints
    """(K, B) by bucket: what it and all after it take."""
    rest_by_size_ps: Ints
    """(K, B) by bucket in the order of ``by_size``: what it and all larger ones take."""
    delayed_ps: Ints
    """(K, B) by bucket: what follows when it would be whole if nobody added."""
    most_ps: Ints
    """(K, B) by bucket: no exchange and update take longer."""
    after_ps: Ints
    """(K,) busiest compute lane."""
    known: dict[tuple[int, int], int] = field(default_factory=dict)
    """Exchange and update of buckets, as far as they were worked out."""

    @classmethod
    def of(
        cls, costs: Sequence[OneExchange], elements: Sequence[int], update_ps: UpdateTimes
    ) -> "Exchanges":
        """Work out what all buckets do together."""
        following_ps, updates_ps = update_ps.of_buckets(elements)
        works = [one.work for one in costs]
        nothing, grown = (0,) * len(elements), [elements[i] for i in by_size(elements)]
        serial = np.array([work.serial_ps(elements) if work else nothing for work in works])
        return cls(
            costs=costs,
            elements=elements,
            following_ps=np.array(following_ps),
            update_ps=updates_ps,
            rest_ps=np.array([work.rest_ps(elements) if work else nothing for work in works]),
            rest_by_size_ps=np.array([w.rest_ps(grown) if w else nothing for w in works]),
            delayed_ps=np.array([w.delayed_ps(elements) if w else nothing for w in works]),
            most_ps=serial + np.array(following_ps),
            after_ps=np.array([work.busiest_ps(elements) if work else 0 for work in works]),
        )

    def lane_ps(self, waits: Waits) -> Ints:
        """Return the work of the busiest compute lane, or of the input lane, (W, K)."""
        begin, slowest, load = waits.starts.T[:, :, None]
        lane: Ints = np.maximum(begin + self.after_ps, slowest) + self.update_ps
        lane = np.maximum(lane, load)
        return lane

    def last_ps(self, waits: Waits, cut: int | None, lane_ps: Ints) -> Ints:
        """Return when all is exchanged and updated at the earliest, or ``lane_ps``, (W, K).

        Without a ``cut`` all buckets are ready when the passes are over.
        """
        ready = waits.starts[:, None, :1] if cut is None else waits.ready[cut][:, None]
        floor, grown = lane_ps, ready if cut is None else ready[..., by_size(self.elements)]
        for begun, rest_ps in ((ready, self.rest_ps), (grown, self.rest_by_size_ps)):
            first = np.minimum.accumulate(begun[..., ::-1], axis=-1)[..., ::-1]
            floor = np.maximum(floor, (first + rest_ps).max(axis=-1))
        floor = np.maximum(floor, self._late_ps(waits, cut, ready))
        if cut is not None:
            delayed = (ready + self.delayed_ps).max(axis=-1)
            floor = np.maximum(floor, delayed * waits.unbroken[:, [cut]])
        matters = (ready + self.most_ps > floor[..., None]).any(axis=0)
        tail = np.zeros_like(self.rest_ps)
        tail[matters] = [self._tail_ps(*at) for at in np.argwhere(matters).tolist()]
        last: Ints = np.maximum(floor, (ready + tail).max(axis=-1))
        return last

    def _late_ps(self, waits: Waits, cut: int | None, ready_ps: Ints) -> Ints:
        """Return what ``planner.late_moves`` tells, (W, K)."""
        if cut is None:
            return ready_ps[:, :, 0] + self._late_at_once_ps
        each = [self._of_one(one, ready_ps[:, 0], waits.firings) for one in self.costs]
        return np.stack(each, axis=1)

    @cached_property
    def _late_at_once_ps(self) -> Ints:
        """(K,) the same from when all buckets are whole at once, without overlap."""
        ready = np.zeros((1, len(self.elements)), dtype=np.int64)
        return np.array([int(self._of_one(one, ready, [NO_FIRINGS])[0]) for one in self.costs])

    def _of_one(self, one: OneExchange, ready_ps: Ints, firings: Sequence[Ints]) -> Ints:
        if one.work is None:
            return np.zeros(len(ready_ps), dtype=np.int64)
        return one.work.late_ps(self.elements, one.slots, ready_ps, firings, self.update_ps)

    def _tail_ps(self, row: int, bucket: int) -> int:
        """Return what the exchange and the update of a bucket take."""
        if (row, bucket) not in self.known:
            cost_ps = self.costs[row].cost_ps(self.elements[bucket])
            self.known[row, bucket] = cost_ps + int(self.following_ps[bucket])
        return self.known[row, bucket]
