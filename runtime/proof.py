"""Proof on one rank, before a check, that its arena is needed, enough, and shared without harm.

The first steps run twice from one state: as they are, and with every byte that nothing alive holds
set to poison, before a step and whenever a register is freed. Both must end in the same bits, the
poisoned ones must write to the end of the arena and not behind it, and nothing of weight may be
allocated beside it. What may be alive at once, in some legal order, must nearly fill it. What the
library of a backend allocates (``Backend.allocates``) is not seen; the record of the proof names
it.
"""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hwprofiles.errors import PlanError
from hwprofiles.units import KIB, MIB, format_bytes
from planner.passes import STATS
from runtime.arena import POISON, Bytes
from runtime.bind import Worker
from runtime.voice import Voice

STEPS = 3
MARK = 0xA5
"""Byte at the end of the arena that a step must change; no array ends in 64 of them."""


MOST_WASTE = 1.10
"""Bytes of an arena for each byte that may be alive in it."""


@dataclass(frozen=True, slots=True)
class _State:
    """What lives from step to step, and the losses of the last step."""

    worker: Worker

    def slots(self) -> list[Bytes]:
        """Return the registers that no task takes and frees."""
        arena, kept = self.worker.arena, self.worker.kept
        return [arena.slot(register, 0) for register in kept]

    def read(self) -> list[Bytes]:
        """Return a copy."""
        return [slot.copy() for slot in self.slots()]

    def write(self, values: list[Bytes]) -> None:
        """Set it."""
        for slot, value in zip(self.slots(), values, strict=True):
            slot[:] = value

    def result(self) -> bytes:
        """Return a hash of all bits that a step leaves, for those of a large model fill memory."""
        arena, digest = self.worker.arena, sha256()
        stats = [arena.slot(STATS, i) for i in range(self.worker.microbatches)]
        for slot in (*self.slots(), *stats):
            digest.update(slot.data)
        return digest.digest()


def prove_arena(worker: Worker, comm: Any, voice: Voice, first: int = 0) -> int:
    """Run the proof and set the state back; return what a step held beside the arena, bytes.

    The steps are those from ``first`` on, with which an input pipeline has begun and begins anew.

    Raises
    ------
    PlanError
        Saying what does not hold.
    """
    worker.program.check_sharing()
    state, arena = _State(worker), worker.arena
    begin = state.read()

    def mark_end() -> None:
        arena.last_line[:] = MARK

    where = f"rank {worker.rank}: the arena of {format_bytes(arena.size_bytes)}"
    live_bytes = worker.program.layouts[worker.rank].live_bytes
    if arena.size_bytes > MOST_WASTE * live_bytes:
        raise PlanError(
            f"{where}: at most {format_bytes(live_bytes)} of it may be alive at once; a bug of the"
            " packing"
        )
    plain = _run(worker, comm, voice, first, mark_end, None)
    is_needed = not (arena.last_line == MARK).all()
    state.write(begin)
    worker.begin_at(first)

    def poison_all() -> None:
        values = state.read()
        arena.fill(POISON)
        state.write(values)

    def poison(item: int) -> None:
        register, slot = worker.items[item]
        if register != STATS:  # read when the step is over
            arena.slot(register, slot)[:] = POISON

    poisoned = _run(worker, comm, voice, first, poison_all, poison)
    if plain != poisoned:
        raise PlanError(
            f"{where}: {STEPS} steps end in other bits when freed registers are poisoned; a"
            " register is read after it was freed, a bug of the packing"
        )
    if not arena.is_intact:
        raise PlanError(f"{where}: something was written behind its end; a bug of a kernel")
    if not is_needed:
        raise PlanError(f"{where}: a step never writes to its end; a bug of the packing")
    worker.step[0] = first + STEPS
    held = _held_beside(worker)
    most = MIB + KIB * len(worker.tasks)
    if held > most:
        raise PlanError(
            f"{where}: a step held {format_bytes(held)} beside it, allowed {format_bytes(most)};"
            " some kernel allocates what should be a register"
        )
    state.write(begin)
    worker.begin_at(first)
    return held


def _run(
    worker: Worker,
    comm: Any,
    voice: Voice,
    first: int,
    before: Callable[[], None],
    freed: Callable[[int], None] | None,
) -> list[bytes]:
    """Run the first steps; return a hash of what each leaves."""
    results = []
    for step in range(first, first + STEPS):
        worker.step[0] = step
        before()
        comm.Barrier()
        worker.loop.run(freed=freed)
        voice.marks += 1
        results.append(_State(worker).result())
    return results


def _held_beside(worker: Worker) -> int:
    """Most bytes that Python and NumPy held at one time for one more step."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        worker.loop.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before
