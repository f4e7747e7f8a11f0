"""Dynamic memory: values are allocated when their task starts and freed when the last reader ends.

The other half of the comparison with static slots. Blocks are taken by first fit (Knuth, The Art of
Computer Programming 1, section 2.5, algorithm A), and neighbours that are free are one. Where
there is no room a task waits, as an engine does that hopes for others to free something, or the run
ends, as an allocator that answers "out of memory" makes it.
"""

from bisect import insort

import numpy as np

from hwprofiles.errors import DeadlockError, MemoryExhausted
from hwprofiles.units import format_bytes
from sim.simpy_engine import simulate as simulate_with
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline


class FirstFit:
    """A heap of ``capacity_bytes``: who has which block, and what is free between them."""

    def __init__(self, capacity_bytes: int) -> None:
        self.free: list[tuple[int, int]] = [(0, capacity_bytes)] if capacity_bytes > 0 else []

    def take(self, size: int) -> int | None:
        """Give out the first block that is large enough; return its first byte, None if none is."""
        for place, (at, room) in enumerate(self.free):
            if room >= size:
                self.free[place : place + 1] = [(at + size, room - size)] if room > size else []
                return at
        return None

    def give_back(self, at: int, size: int) -> None:
        """Take back a block, and join it to its free neighbours."""
        insort(self.free, (at, size))
        place = self.free.index((at, size))
        if place + 1 < len(self.free) and at + size == self.free[place + 1][0]:
            size += self.free.pop(place + 1)[1]
            self.free[place] = (at, size)
        if place and sum(self.free[place - 1]) == at:
            before, room = self.free[place - 1]
            self.free[place - 1 : place + 1] = [(before, room + size)]


class Heaps:
    """The memory of every device as a heap (``sim.simpy_engine.Memory``).

    Registers that no task takes a slot of (parameters) lie there from the start.
    """

    def __init__(self, graph: TaskGraph, capacity_bytes: int, *, waits: bool) -> None:
        self.graph = graph
        self.waits = waits
        self.blocks: dict[int, int] = {}
        """First byte of each item that lives."""
        self.sizes: list[int] = graph.register_bytes[graph.out_idx].tolist()
        self.devices: list[int] = graph.register_device[graph.out_idx].tolist()
        self.resident = resident_bytes(graph)
        for device, size in self.resident.items():
            if size > capacity_bytes:
                raise MemoryExhausted(
                    f"device {device}: expected room for {format_bytes(size)} that are always"
                    f" there, got {format_bytes(capacity_bytes)}; give it more memory"
                )
        self.heaps = {d: FirstFit(capacity_bytes - size) for d, size in self.resident.items()}
        self.high_water_bytes = max(self.resident.values(), default=0)
        """End of the highest block ever given out: what a device must have for this run."""

    def has_room(self, task: int) -> bool:
        """Whether all that the task writes finds a block; an engine that does not wait tries."""
        if not self.waits:
            return True
        items = self._items(task)
        found = self._allocate(items)
        self._free(items[: len(found)], found)
        return len(found) == len(items)

    def take(self, task: int) -> None:
        """Allocate all that the task writes.

        Raises
        ------
        MemoryExhausted
            There is no block for it.
        """
        items = self._items(task)
        found = self._allocate(items)
        if len(found) < len(items):
            size = format_bytes(self.sizes[items[len(found)]])
            raise MemoryExhausted(
                f"task {task}: expected a block of {size}, got none; give the device more memory,"
                " or bound how far its tasks run ahead"
            )
        for item, at in zip(items, found, strict=True):
            self.blocks[item] = at
            end = self.resident[self.devices[item]] + at + self.sizes[item]
            self.high_water_bytes = max(self.high_water_bytes, end)

    def give_back(self, item: int) -> None:
        """Free an item."""
        self.heaps[self.devices[item]].give_back(self.blocks.pop(item), self.sizes[item])

    def _items(self, task: int) -> range:
        return range(self.graph.out_ptr[task], self.graph.out_ptr[task + 1])

    def _allocate(self, items: range) -> list[int]:
        """Take blocks for items in turn until one finds none."""
        found: list[int] = []
        for item in items:
            at = self.heaps[self.devices[item]].take(self.sizes[item])
            if at is None:
                break
            found.append(at)
        return found

    def _free(self, items: range, found: list[int]) -> None:
        for item, at in zip(reversed(items), reversed(found), strict=True):
            self.heaps[self.devices[item]].give_back(at, self.sizes[item])


def resident_bytes(graph: TaskGraph) -> dict[int, int]:
    """Return, by device, the bytes of registers that no task takes a slot of."""
    is_taken = np.zeros(len(graph.register_slots), dtype=bool)
    is_taken[graph.out_idx] = True
    sizes = np.where(is_taken, 0, graph.register_slots * graph.register_bytes)
    devices = sorted(set(graph.register_device.tolist()))
    return {d: int(sizes[graph.register_device == d].sum()) for d in devices}


def simulate(graph: TaskGraph, capacity_bytes: int, *, waits: bool) -> tuple[Timeline, int]:
    """Return when every task starts and ends, and the most memory that a device has needed.

    Parameters
    ----------
    capacity_bytes : int
        Memory of each device.
    waits : bool
        Whether a task that finds no block waits for one, or ends the run.

    Raises
    ------
    MemoryExhausted
        A task finds no block, and tasks do not wait.
    DeadlockError
        All that are left wait for memory that only they would free.
    """
    heaps = Heaps(graph, capacity_bytes, waits=waits)
    try:
        timeline = simulate_with(graph, memory=heaps)
    except DeadlockError:
        held = format_bytes(sum(heaps.sizes[item] for item in heaps.blocks))
        raise DeadlockError(
            f"every task waits for memory: {held} are held by values whose readers wait too; give"
            " the devices more memory, or bound how far tasks run ahead"
        ) from None
    return timeline, heaps.high_water_bytes
