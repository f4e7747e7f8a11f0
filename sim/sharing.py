"""Registers that share bytes: proof that no two of them are ever alive together.

An item is alive from the start of its writer to
the end of its last reader. Two items that share a byte are safe when all tasks that touch the one
come before the writer of the other by dependencies alone, whatever the times. Items of one register
are kept apart by its slots (``sim.credits``).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from sim.taskgraph import TaskGraph
from sim.waits import Label, register_label, task_label

NOBODY = -1


def check_sharing(
    graph: TaskGraph,
    *,
    first_byte: Ints,
    step_bytes: Ints,
    item_slot: Ints,
    label: Label = task_label,
    name_register: Label = register_label,
) -> None:
    """Check the places of registers in the memory of their devices.

    Parameters
    ----------
    graph : TaskGraph
        Checked as by ``sim.checks.check_graph``.
    first_byte, step_bytes : int array, shape (R,)
        Where slot 0 of each register begins, and the distance to the next slot.
    item_slot : int array, shape (I,)
        The slot in which each item lies.

    Raises
    ------
    PlanError
        Naming two registers that share bytes, and the tasks between which a dependency is missing.
    """
    memory = _Memory(graph, first_byte, step_bytes)
    touches = _touching_tasks(graph)
    for task, earlier in enumerate(_earlier_tasks(graph)):
        for item in range(int(graph.out_ptr[task]), int(graph.out_ptr[task + 1])):
            register = int(graph.out_idx[item])
            for old in memory.take(item, register, int(item_slot[item])):
                late = [t for t in touches[old] if not earlier >> t & 1]
                other = int(graph.out_idx[old])
                if late and other != register:
                    raise PlanError(
                        f"registers {name_register(other)} and {name_register(register)} share"
                        f" bytes, but {label(task)} may write the second while {label(late[0])}"
                        " still needs the first; let it depend on that, or place them apart"
                    )
    memory.refuse_unwritten(name_register)


def _touching_tasks(graph: TaskGraph) -> list[list[int]]:
    """Return the tasks that write or read each item."""
    touches = [[task] for task in graph.item_task().tolist()]
    for item, readers in enumerate(graph.item_readers()):
        touches[item] += readers
    return touches


def _earlier_tasks(graph: TaskGraph) -> Iterator[int]:
    """Yield for each task a mask: bit ``b`` is set when task ``b`` ends before it starts.

    A mask is forgotten when no later task depends on its task any more.
    """
    last_use = np.zeros(graph.tasks, dtype=np.int64)
    tasks = np.repeat(np.arange(graph.tasks), np.diff(graph.dep_ptr))
    np.maximum.at(last_use, graph.dep_idx, tasks)
    masks: dict[int, int] = {}
    for task in range(graph.tasks):
        mask, row = 0, graph.row("dep", task)
        for before in row:
            mask |= masks[before] | 1 << before
            if last_use[before] == task:
                del masks[before]
        if last_use[task] > task:
            masks[task] = mask
        yield mask


class _Memory:
    """Which item was last written to each byte of every device, bytes cut where slots begin or end.

    A byte that has never been written belongs to nobody. Looking at the last item only is enough:
    it was itself written after all that the one before it waited for.
    """

    def __init__(self, graph: TaskGraph, first_byte: Ints, step_bytes: Ints) -> None:
        self.graph, self.first, self.step = graph, first_byte, step_bytes
        self.edges: dict[int, Ints] = {}
        self.owner: dict[int, Ints] = {}
        for device in set(graph.register_device.tolist()):
            spans = [
                edge
                for register in np.flatnonzero(graph.register_device == device).tolist()
                for slot in range(int(graph.register_slots[register]))
                for edge in self.span(register, slot)
            ]
            self.edges[device] = np.unique(np.array(spans, dtype=np.int64))
            self.owner[device] = np.full(len(self.edges[device]), NOBODY, dtype=np.int64)

    def span(self, register: int, slot: int) -> tuple[int, int]:
        """First byte of a slot, and the first one after it."""
        begin = int(self.first[register]) + slot * int(self.step[register])
        return begin, begin + int(self.graph.register_bytes[register])

    def cells(self, register: int, slot: int) -> Ints:
        """Return the part of the owners that a slot covers, as a view."""
        device = int(self.graph.register_device[register])
        begin, end = np.searchsorted(self.edges[device], self.span(register, slot))
        return self.owner[device][begin:end]

    def take(self, item: int, register: int, slot: int) -> Sequence[int]:
        """Write an item; return the items that were there."""
        cells = self.cells(register, slot)
        old: list[int] = np.unique(cells[cells != NOBODY]).tolist()
        cells[:] = item
        return old

    def refuse_unwritten(self, name_register: Label) -> None:
        """Refuse a register that no task takes, so that it is always alive, on shared bytes."""
        graph = self.graph
        kept = np.setdiff1d(np.arange(len(graph.register_slots)), graph.out_idx)
        for register in kept.tolist():
            for slot in range(int(graph.register_slots[register])):
                cells = self.cells(register, slot)
                found = cells[cells != NOBODY]
                if len(found):
                    other = int(graph.out_idx[found[0]]) if found[0] >= 0 else int(-2 - found[0])
                    raise PlanError(
                        f"registers {name_register(other)} and {name_register(register)} share"
                        " bytes, but the second is alive all the time; place them apart"
                    )
                cells[:] = -2 - register
