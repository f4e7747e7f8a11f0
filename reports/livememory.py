"""Bytes alive on one rank over a step, by category, under the line of its arena."""

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
    """Return the bytes alive on ``rank``: an item from its writer's start to its last reader's end.

    Registers that no task takes a slot of live from step to step. An item of no length is nowhere.
    """
    graph = program.graph
    categories = {f"{r.name}@{rank}": r.category for r in program.registers[rank]}
    of_register = [categories.get(name) for name in program.register_names]
    names = list(dict.fromkeys(categories.values()))
    code = np.array([names.index(c) if c is not None else -1 for c in of_register])
    writer = graph.item_task()
    born_ps, dead_ps = timeline.start_ps[writer], timeline.end_ps[writer]
    np.maximum.at(dead_ps, graph.in_idx, np.repeat(timeline.end_ps, np.diff(graph.in_ptr)))
    own = (code[graph.out_idx] >= 0) & (dead_ps > born_ps)
    register = graph.out_idx[own]
    size = graph.register_bytes[register]
    ends_ps = [0, timeline.makespan_ps]
    at_ps, place = np.unique(
        np.concatenate([ends_ps, born_ps[own], dead_ps[own]]), return_inverse=True
    )
    change = np.zeros((len(names), len(at_ps)), dtype=np.int64)
    kind = code[register]
    np.add.at(change, (kind, place[2 : 2 + len(register)]), size)
    np.add.at(change, (kind, place[2 + len(register) :]), -size)
    held = np.cumsum(change, axis=1)
    resident = set(program.register_names) - {
        program.register_names[i] for i in np.unique(graph.out_idx)
    }
    for found in program.registers[rank]:
        if f"{found.name}@{rank}" in resident:
            held[names.index(found.category)] += found.arena_bytes
    return LiveMemory(
        rank=rank,
        at_ps=at_ps,
        by_category={name: held[i] for i, name in enumerate(names) if held[i].any()},
    )
