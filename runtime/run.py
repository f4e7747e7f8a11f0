"""The steps of a bound worker, one after the other: timed, their losses noted, their state kept.

A device does its work later, so moments are noted and losses put aside on it; the host looks at
them when it must stop anyway, and runs ahead otherwise.
"""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import PlanError
from planner.passes import STATS
from planner.program import View
from runtime.bind import Worker
from runtime.checkpoint import Keeper, State, write_checkpoint
from runtime.meter import Meter
from runtime.voice import Voice

Floats = npt.NDArray[np.float64]
TOLD = 20
"""Steps between two words about how far a run is."""
SLOW_STEP_S = 1.0
"""After a step that takes longer there is one at once; the first, which sets things up, aside."""


class Run:
    """Steps on one rank."""

    def __init__(self, worker: Worker, losses: Floats, meter: Meter) -> None:
        """Take the losses so far, of all steps of the run; those to come are 0."""
        self._worker, self._meter, self._before = worker, meter, losses
        self._stats = [
            worker.arena.view(
                View(register=STATS, slot=i, offset_bytes=0, shape=(2,), dtype="float64")
            )
            for i in range(worker.microbatches)
        ]
        shape = (len(losses), worker.microbatches, 2)
        room = worker.device.allocate(int(np.prod(shape)) * np.dtype(np.float64).itemsize)
        self._kept = room.view(np.float64).reshape(shape)
        self._first = len(losses)

    def steps(self, first: int, comm: Any, voice: Voice, keeper: Keeper | None) -> Floats:
        """Run steps from ``first`` on; return their seconds.

        Raises
        ------
        PlanError
            When a timed step asks the device for memory.
        """
        worker, device, total = self._worker, self._worker.device, len(self._before)
        self._first = first
        spans, taken = [], 0
        comm.Barrier()
        last = device.now()
        for step in range(first, total):
            worker.step[0] = step
            self._meter.at(step)
            if step == self._meter.first:
                taken = device.taken
            begun = time.monotonic()
            worker.loop.run()
            is_long = step > first and time.monotonic() - begun > SLOW_STEP_S
            for i, stats in enumerate(self._stats):
                self._kept[step, i] = stats
            now = device.now()
            spans.append((last, now))
            last = now
            voice.marks += 1
            if step % TOLD == TOLD - 1 or is_long:
                voice.at(step + 1, total)
                last = device.now()
            if keeper and keeper.is_due(step + 1, total):
                self._keep(step + 1, comm, keeper)
                last = device.now()
        self._meter.at(total)
        device.finish()
        if device.taken > taken:
            raise PlanError(
                f"rank {worker.rank}: {total - self._meter.first} steps asked the device for memory"
                f" {device.taken - taken} times; a kernel allocates what should be a register"
            )
        return np.array([end.seconds_since(begin) for begin, end in spans])

    def losses(self, steps: int) -> Floats:
        """Return this rank's share of the losses of the first ``steps`` steps."""
        found = self._before[:steps].copy()
        kept = self._worker.device.get(self._kept)[self._first : steps, :, 0]
        found[self._first :] = sum(kept.T, np.zeros(len(kept)))
        return found

    def _keep(self, step: int, comm: Any, keeper: Keeper) -> None:
        """Write a checkpoint on rank 0, whose state is that of all; the others wait, untimed."""
        shares = comm.gather(self.losses(step))
        if comm.rank == 0:
            worker = self._worker
            registers = worker.program.registers[0]
            states = [register.name for register in registers if register.category == "optimizer"]
            flat = {name: worker.device.get(worker.flat(name)) for name in ("parameters", *states)}
            state = State(
                step=step,
                parameters=flat.pop("parameters"),
                optimizer=flat,
                losses=np.sum(shares, axis=0),
            )
            write_checkpoint(keeper.folder, state, keeper.belongs)
        comm.Barrier()
