"""Bytes alive on one rank over a step, by category, under the line of its arena."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.program import Program
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiveMemory:
    """Live bytes from each instant to the next, shape (T,)."""

    rank: int
    at_ps: Ints
    """Ascending, without repeats, from 0."""
    by_category: dict[str, Ints]
    """What lives from step to step first, then in arena order."""

    @property
    def total_bytes(self) -> Ints:
        """Live bytes of all categories, shape (T,)."""
        total = np.zeros(len(self.at_ps), dtype=np.int64)
        for held in self.by_category.values():
            total += held
        return total

    def thinned(self, most: int) -> "LiveMemory":
        """Keep at most ``most`` instants, of each stretch of time the fullest, and both ends."""
        if len(self.at_ps) <= most:
            return self
        stretch = self.at_ps * (most - 2) // (int(self.at_ps[-1]) + 1)
        order = np.lexsort((-self.total_bytes, stretch))
        fullest = order[np.unique(stretch[order], return_index=True)[1]]
        keep = np.unique([0, *fullest, len(self.at_ps) - 1])
        return LiveMemory(
            rank=self.rank,
            at_ps=self.at_ps[keep],
            by_category={name: held[keep] for name, held in self.by_category.items()},
        )


def live_memory(program: Program, timeline: Timeline, rank: int) -> LiveMemory:
    """Return the bytes alive on ``rank``, as ``live_memories`` does."""
    return next(live_memories(program, timeline, [rank]))


def live_memories(
    program: Program, timeline: Timeline, ranks: Sequence[int]
) -> Iterator[LiveMemory]:
    """Yield the bytes alive on ``ranks``: an item from its writer's start to its last reader's end.

    Registers that no task takes a slot of live from step to step. An item of no length is nowhere.
    """
    graph = program.graph
    registers = list(program.register_names)
    resident = set(registers) - {registers[i] for i in np.unique(graph.out_idx).tolist()}
    owner = {f"{r.name}@{rank}": rank for rank in ranks for r in program.registers[rank]}
    of_register = np.array([owner.get(name, -1) for name in registers])
    writer = graph.item_task()
    born_ps, dead_ps = timeline.start_ps[writer], timeline.end_ps[writer]
    np.maximum.at(dead_ps, graph.in_idx, np.repeat(timeline.end_ps, np.diff(graph.in_ptr)))
    items = np.flatnonzero((of_register[graph.out_idx] >= 0) & (dead_ps > born_ps))
    order = items[np.argsort(of_register[graph.out_idx[items]], kind="stable")]
    sorted_ranks = of_register[graph.out_idx[order]]
    for rank in ranks:
        own = order[slice(*np.searchsorted(sorted_ranks, [rank, rank + 1]))]
        known = {f"{r.name}@{rank}": r for r in program.registers[rank]}
        names = list(dict.fromkeys(r.category for r in known.values()))
        register = graph.out_idx[own]
        kind = np.array(
            [names.index(known[registers[i]].category) for i in register.tolist()], dtype=np.int64
        )
        size = graph.register_bytes[register]
        at_ps, place = np.unique(
            np.concatenate([[0, timeline.makespan_ps], born_ps[own], dead_ps[own]]),
            return_inverse=True,
        )
        change = np.zeros((len(names), len(at_ps)), dtype=np.int64)
        np.add.at(change, (kind, place[2 : 2 + len(own)]), size)
        np.add.at(change, (kind, place[2 + len(own) :]), -size)
        held = np.cumsum(change, axis=1)
        for name, found in known.items():
            if name in resident:
                held[names.index(found.category)] += found.arena_bytes
        yield LiveMemory(
            rank=rank,
            at_ps=at_ps,
            by_category={name: held[i] for i, name in enumerate(names) if held[i].any()},
        )
