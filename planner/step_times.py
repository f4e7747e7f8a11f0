"""When passes and exchanges of many plans are over: the array twin of ``planner.cost.compose``.

Index letters: W ways in which microbatches wait, K algorithms and numbers of landing slots, B
buckets of a cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.cost import ExchangeTimes, ready_ps, starts
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

    @classmethod
    def of(
        cls, passes: Sequence[PassTimes], rounds: Sequence[Rounds], cuts: Sequence[Ints]
    ) -> "Waits":
        """Work them out for each of ``rounds``; ``cuts`` are the places of the buckets."""
        distinct = {r: i for i, r in enumerate(dict.fromkeys(rounds))}
        places = np.concatenate(cuts)
        rows = []
        for some in distinct:
            at = starts(passes, some)
            ready = ready_ps(passes, some, places)
            rows.append([at.begin_ps, at.slowest_ps, at.load_ps, *ready.tolist()])
        kept, which = np.unique(np.array(rows, dtype=np.int64), axis=0, return_inverse=True)
        return cls(
            of_slots=which.ravel()[[distinct[r] for r in rounds]],
            starts=kept[:, :3],
            ready=tuple(np.split(kept[:, 3:], np.cumsum([*map(len, cuts)])[:-1], axis=1)),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Exchanges:
    """Exchange and update of one placement and cut, by algorithm and landing slots."""

    rest_ps: Ints
    tail_ps: Ints
    """(K, B) by bucket: what it and all after it take; its own exchange and update."""
    after_ps: Ints
    """(K,) busiest compute lane."""
    longest_ps: Ints
    """(K,) all of it, where all buckets are ready at once."""
    update_ps: int
    """All updates."""

    @classmethod
    def of(cls, rows: Sequence[ExchangeTimes]) -> "Exchanges":
        """Stack what differs."""
        updates = np.array(rows[0].update_ps)
        rest = np.array([row.rest_ps for row in rows])
        tail = np.array([row.cost_ps for row in rows]) + updates
        return cls(
            rest_ps=rest,
            tail_ps=tail,
            after_ps=np.array([row.after_ps for row in rows]),
            longest_ps=np.maximum(rest, tail).max(axis=1),
            update_ps=rows[0].updates_ps,
        )

    def lane_ps(self, waits: Waits) -> Ints:
        """Return the work of the busiest compute lane, or of the input lane, (W, K)."""
        begin, slowest, load = waits.starts.T[:, :, None]
        lane: Ints = np.maximum(begin + self.after_ps, slowest) + self.update_ps
        lane = np.maximum(lane, load)
        return lane

    def last_ps(self, waits: Waits, cut: int | None) -> Ints:
        """Return when all is exchanged and updated at the earliest, (W, K).

        Without a ``cut`` all buckets are ready when the passes are over.
        """
        if cut is None:
            return waits.starts[:, :1] + self.longest_ps
        ready = waits.ready[cut][:, None]
        first = np.minimum.accumulate(ready[..., ::-1], axis=-1)[..., ::-1]
        last: Ints = np.maximum(first + self.rest_ps, ready + self.tail_ps).max(axis=-1)
        return last
