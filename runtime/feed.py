"""The input pipeline as the rank that it feeds sees it: its processes, what arrives and goes."""

import contextlib
import json
import os
import pickle
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hwprofiles.errors
from hwprofiles.errors import ForeplanError, InputLost
from planner.input_calls import InputCalls
from planner.inputs import has_core
from planner.plan import Plan, Source
from planner.rings import ring_registers, ring_views
from runtime.feeder import READER, FeederJob
from runtime.order import Order
from runtime.ring import Array, Ring, close_all, give

END_S = 5.0
"""What a process may take to end once it is not needed, before it is killed."""
LOOK_S = 0.01
"""Between two looks for the process that has died."""


@dataclass(slots=True)
class _Process:
    """One process of the pipeline and its name for people."""

    name: str
    running: "subprocess.Popen[bytes]"


class Feed:
    """Reader and decode workers of one rank, started with it and ended with it."""

    def __init__(
        self,
        calls: InputCalls,
        plan: Plan,
        source: Source,
        path: Path,
        order: Order,
        cores: Sequence[int],
        first_step: int,
    ) -> None:
        self._rank, self._plan, self._order = order.rank, plan, order
        slots = range(plan.prefetch)
        registers = ring_registers(calls, plan)
        self.ring = Ring(registers, 1 + plan.decode_workers)
        self._decoded = [
            [self._outputs(calls, worker, slot) for slot in slots]
            for worker in range(plan.decode_workers)
        ]
        self._common = FeederJob(
            worker=READER,
            workers=plan.decode_workers,
            cores=(),
            first=first_step * order.rounds,
            prefetch=plan.prefetch,
            registers=registers,
            ring=self.ring.fd,
            takes=(),
            gives=(),
            calls=calls,
            path=path,
            order=order,
            source=source,
        )
        self._assigned = tuple(cores)
        self._start(self._common, cores)

    def _outputs(self, calls: InputCalls, worker: int, slot: int) -> list[Array]:
        """Return what a decode worker writes, slot by slot."""
        return [self.ring.array(view) for view in ring_views(calls, worker, slot)[1:]]

    def restart(self, step: int) -> None:
        """End all processes and start them again, with the first microbatch of ``step``."""
        self.close()
        self._start(replace(self._common, first=step * self._order.rounds), self._assigned)

    def _start(self, common: FeederJob, cores: Sequence[int]) -> None:
        """Join the processes by pipes, filled with the first credits, and start them."""
        workers = range(self._plan.decode_workers)
        there, empty, decoded, free = ([os.pipe() for _ in workers] for _ in range(4))
        for pipe in (*empty, *free):
            give(pipe[1], self._plan.prefetch)
        own = [self._cores(cores, worker) for worker in workers]
        reader = replace(
            common,
            cores=tuple({core for some in own for core in some} | set(self._own_core(cores))),
            takes=tuple(pipe[0] for pipe in empty),
            gives=tuple(pipe[1] for pipe in there),
        )
        self._processes = [self._run("reader", reader)]
        for worker in workers:
            job = replace(
                common,
                worker=worker,
                cores=own[worker],
                takes=(there[worker][0], free[worker][0]),
                gives=(empty[worker][1], decoded[worker][1]),
            )
            self._processes.append(self._run(f"decode worker {worker}", job))
        self._ready = [pipe[0] for pipe in decoded]
        self._free = [pipe[1] for pipe in free]
        kept = {*self._ready, *self._free}
        close_all({fd for pipes in (there, empty, decoded, free) for p in pipes for fd in p} - kept)
        for fd in self._ready:
            os.set_blocking(fd, False)

    def _cores(self, cores: Sequence[int], worker: int) -> tuple[int, ...]:
        """Return the core of a decode worker: one after those of the ranks, or that of its rank."""
        plan = self._plan
        if cores and has_core(plan, self._rank, worker):
            return (cores[(plan.workers + worker * plan.workers + self._rank) % len(cores)],)
        return self._own_core(cores)

    def _own_core(self, cores: Sequence[int]) -> tuple[int, ...]:
        """Return the core of the rank: the reader takes it, or one of those that decode."""
        return (cores[self._rank % len(cores)],) if cores else ()

    def _run(self, name: str, job: FeederJob) -> _Process:
        running = subprocess.Popen(
            [sys.executable, "-m", "runtime.feeder"],
            pass_fds=(job.ring, *job.takes, *job.gives),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert running.stdin is not None
        with running.stdin:
            pickle.dump(job, running.stdin)
        return _Process(name, running)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pipes, at whose end the processes end; wait for them."""
        close_all((*self._ready, *self._free))
        self._ready, self._free = [], []
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.running.wait(END_S)
            process.running.kill()
            process.running.wait()
            assert process.running.stderr is not None
            process.running.stderr.close()

    @property
    def reader_pid(self) -> int:
        """Process that reads the file."""
        return self._processes[0].running.pid

    def arrived(self, firing: int) -> bool:
        """Whether microbatch ``firing`` has been decoded; asked until it has, and then no more.

        Raises
        ------
        ForeplanError
            What a process of the pipeline said, or that it is gone.
        """
        try:
            credit = os.read(self._ready[firing % self._plan.decode_workers], 1)
        except BlockingIOError:
            return False
        if not credit:
            raise self._fault()
        return True

    def wait(self, firing: int, timeout_s: float | None) -> None:
        """Sleep until microbatch ``firing`` may have arrived."""
        select.select([self._ready[firing % self._plan.decode_workers]], [], [], timeout_s)

    def decoded(self, firing: int) -> list[Array]:
        """Return what microbatch ``firing`` was decoded to: ``x``, ``labels``."""
        turn, worker = divmod(firing, self._plan.decode_workers)
        return self._decoded[worker][turn % self._plan.prefetch]

    def free(self, firing: int) -> None:
        """Give back the slot of microbatch ``firing``."""
        with contextlib.suppress(BrokenPipeError):  # who died is seen when the next does not come
            give(self._free[firing % self._plan.decode_workers])

    def firing(self, step: int, microbatch: int) -> int:
        """Return the number of a microbatch, counted from the first step."""
        return step * self._order.rounds + microbatch

    def counters(self) -> dict[str, tuple[int, int]]:
        """Return (firings, busy nanoseconds) of the reader and of every decode worker."""
        names = [process.name for process in self._processes]
        rows = self.ring.counters.tolist()
        return {name: (n, ns) for name, (n, ns) in zip(names, rows, strict=True)}

    def _fault(self) -> ForeplanError:
        """Say what ended the pipeline: its first process to end with a fault."""
        end_s = time.monotonic() + END_S
        while time.monotonic() < end_s:
            codes = [(process, process.running.poll()) for process in self._processes]
            for process, code in codes:
                if code:
                    return self._said(process, code)
            time.sleep(LOOK_S)  # a pipe ends a little before its process can be asked for its code
        return InputLost(f"rank {self._rank}: the input pipeline has ended before the training")

    def _said(self, process: _Process, code: int) -> ForeplanError:
        """Return the error that a process wrote, or that it is gone."""
        assert process.running.stderr is not None
        text = process.running.stderr.read().decode(errors="replace").strip()
        try:
            told: dict[str, Any] = json.loads(text.splitlines()[-1]) if code > 0 else {}
            kind = getattr(hwprofiles.errors, str(told.get("kind")), None)
        except (ValueError, IndexError):
            kind, told = None, {}
        if kind is not None:
            said: ForeplanError = kind(told["text"])
            return said
        why = f" ({text.splitlines()[-1]})" if text else ""
        return InputLost(
            f"rank {self._rank}: expected its {process.name} to run to the end, but process"
            f" {process.running.pid} was killed or has crashed{why}, so all workers were stopped;"
            " see that memory suffices, and run again, with --resume where checkpoints were kept"
        )
