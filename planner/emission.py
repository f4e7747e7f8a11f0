"""Scripts of algorithms: emitted by every rank, or by one rank that stands for all others."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Emit, Span, Spans, Tasks, chunk_spans
from planner.folded_exchange import Orbit
from planner.folded_script import FoldedNotes
from planner.script import Script, script_from

ELEMENTS = 10_000_019
"""Size at which an algorithm is emitted: all its blocks differ in where they begin."""


@cache
def script_of(emit: Emit, ranks: int) -> Script:
    """Return the moves of an algorithm on so many ranks.

    Where all ranks do alike, those of one are turned into those of all others.
    """
    fold = _symmetry(emit, ranks)
    return unfolded(emit, fold) if fold else noted(emit, ranks)


def _symmetry(emit: Emit, ranks: int) -> Symmetry | None:
    """Return what turns one rank into another, which stands beside ``emit``."""
    owner = getattr(emit, "__self__", None) or sys.modules[emit.__module__]
    found = getattr(owner, "symmetry", None)
    try:
        symmetry: Symmetry | None = found(ranks) if found and ranks > 1 else None
    except PlanError:
        return None
    return symmetry


@dataclass(slots=True)
class Notes:
    """An exchange that notes its moves, with what each waits for.

    A switch that adds is one rank more. What a move waits for is a move, or below 0 a token: what
    makes a rank ready, or (``may_land``) what leaves room where it lands first.
    """

    ranks: int
    elements: int = ELEMENTS
    rows: list[tuple[int, int, int, int, int, int, int]] = field(default_factory=list)
    """Source, destination, first element, end, channel, whether it lands, the arrival that it adds;
    an addition has the same rank twice."""
    after: list[tuple[int, ...]] = field(default_factory=list)
    landed: dict[tuple[int, int], int] = field(default_factory=dict)
    added: dict[int, int] = field(default_factory=dict)
    fold: None = None

    @property
    def ready(self) -> list[Tasks]:
        """By rank: the token of what makes it ready."""
        return [(-1 - rank,) for rank in range(self.ranks)]

    def send(
        self,
        src: int,
        dst: int,
        span: Span,
        *,
        after: Tasks,
        landing: bool,
        channel: int = 0,
        more: Spans = (),
    ) -> int:
        """Note a transfer; arrivals of one landing register keep their order."""
        assert not more, "a message of a plan is one span"
        if landing:
            may_land = -1 - self.ranks - dst
            after = (*after, self.landed.get((dst, channel), may_land))
            self.landed[dst, channel] = len(self.rows)
        return self._note((src, dst, *span, channel, landing, -1), after)

    def collect(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Note a transfer from the switch."""
        return self._note((self.ranks, rank, *span, 0, 0, -1), after)

    def spread(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Note a transfer to the switch."""
        return self._note((rank, self.ranks, *span, 0, 0, -1), after)

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition; those of one rank keep their order."""
        turn = (self.added[rank],) if rank in self.added else ()
        self.added[rank] = len(self.rows)
        channel = self.rows[arrived][4]
        return self._note((rank, rank, *span, channel, 0, arrived), (*after, arrived, *turn))

    def _note(self, row: tuple[int, int, int, int, int, int, int], after: tuple[int, ...]) -> int:
        self.rows.append(row)
        self.after.append(after)
        return len(self.rows) - 1


def noted(emit: Emit, ranks: int) -> Script:
    """Return the moves as all ranks emit them."""
    notes = Notes(ranks)
    last: Sequence[Tasks] = emit(notes, notes.ready)
    rows = np.array(notes.rows, dtype=np.int64).reshape(-1, 7)
    cuts = rows[:, 2:4]
    blocks = len(np.unique(cuts)) - 1
    spans = chunk_spans(ELEMENTS, blocks)
    edges = np.array([spans[0][0], *(end for _, end in spans)])
    assert np.isin(cuts, edges).all(), "an algorithm cuts its array by chunk_spans"
    lengths = np.fromiter(map(len, notes.after), dtype=np.int64, count=len(rows))
    waits = np.fromiter(chain(*notes.after), dtype=np.int64, count=int(lengths.sum()))
    src, dst, _, _, channel, lands, arrived = rows.T
    first, end = (np.searchsorted(edges, cuts[:, side]) for side in (0, 1))
    return script_from(
        ranks, blocks, (src, dst, first, end, channel, lands, arrived), lengths, waits, last
    )


def unfolded(emit: Emit, fold: Symmetry) -> Script:
    """Return the moves of rank 0 turned into those of all, in the order of ``noted``."""
    ready, may_land = fold.token(-1), fold.token(-2)
    notes = FoldedNotes(
        ranks=fold.order,
        elements=fold.block_count,
        fold=fold,
        item_bytes=1,
        ready={0: (may_land,)},
    )
    (last,) = emit(notes, {0: (ready,)})
    return _Turning(notes).script(last)


class _Turning:
    """Where the members of orbits stand in a script.

    Every rank in turn makes a transfer, and adds it if it does, before any makes the next one. So
    an orbit of transfers and the orbit that adds them stand together, rank by rank.
    """

    def __init__(self, notes: FoldedNotes) -> None:
        self.notes, self.fold, self.order = notes, notes.fold, notes.fold.order
        self.ranks, self.places = cache(self.fold.members), cache(self.fold.places)
        adds = np.array([orbit.arrived >= 0 for orbit in notes.orbits])
        self.first: Ints = (np.arange(len(adds)) - adds) * self.order + adds
        self.apart: Ints = np.where(adds | np.append(adds[1:], [False]), 2, 1)

    def members(self, token: int) -> Ints:
        """Return, by rank, what it waits for where rank 0 waits for ``token``."""
        task, place = divmod(token, self.order)
        ranks = self.places(place)
        if task < 0:
            return (task + 1) * self.order - 1 - ranks
        found: Ints = self.first[task] + ranks * self.apart[task]
        return found

    def script(self, last: Tasks) -> Script:
        """Return the moves of all ranks, of which each ends with its members of ``last``."""
        orbits = self.notes.orbits
        columns = np.empty((7, len(orbits) * self.order), dtype=np.int64)
        lengths = np.empty(len(orbits) * self.order, dtype=np.int64)
        awaited = []
        for task, (orbit, span) in enumerate(zip(orbits, self.notes.spans, strict=True)):
            own = self.members(self.fold.token(task))
            columns[:, own] = self._columns(orbit, span)
            arrived = (self.fold.token(orbit.arrived),) if orbit.arrived >= 0 else ()
            after = [self.members(token) for token in (*orbit.after, *arrived)]
            lengths[own] = len(after)
            awaited.append((own, after))
        begin = np.cumsum(lengths) - lengths
        waits = np.empty(int(lengths.sum()), dtype=np.int64)
        for own, after in awaited:
            for place, tasks in enumerate(after):
                waits[begin[own] + place] = tasks
        ends = np.stack([self.members(token) for token in last], axis=1).tolist()
        return script_from(self.order, self.fold.block_count, list(columns), lengths, waits, ends)

    def _columns(self, orbit: Orbit, span: Span) -> Ints:
        """Return the columns of all members of an orbit, (7, ranks)."""
        fold, rows = self.fold, np.full((7, self.order), -1)
        first = fold.block_members(range(*span))
        rows[0], rows[1] = (self.ranks(rank) for rank in (orbit.src, orbit.dst))
        rows[2], rows[3] = first, first + span[1] - span[0]
        arrival = self.notes.orbits[orbit.arrived] if orbit.arrived >= 0 else orbit
        rows[4], rows[5] = fold.channel_members(arrival.channel), orbit.lands
        if orbit.arrived >= 0:
            rows[6] = self.members(fold.token(orbit.arrived))
        return rows
