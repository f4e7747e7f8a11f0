"""One rank of a plan on a device of this process: bound, trained for some steps, measured.

No workers are started. Peers, where a plan has them, are replayed (``runtime.replay``).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from hwprofiles.units import PS_PER_S, to_ps
from planner.model import ModelGraph
from planner.passes import STATS
from planner.plan import Training
from planner.program import ComputeTask, Program, View
from runtime.bind import Worker, bind
from runtime.device import Device
from runtime.kernels import Stream
from runtime.parameters import set_first
from runtime.replay import Replayed
from sim.heap_engine import simulate
from sim.issue import issued

Fetch = Callable[[int, int, Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps that were run one after the other, in blocks that the host waits for."""

    block_s: tuple[float, ...]
    """Seconds of a step, the mean of each block."""
    issue_s: float
    """Median time of the host in the loop of a step, without waiting for messages."""
    loss: float
    """Of the last step."""

    @property
    def step_s(self) -> float:
        """Median over blocks."""
        return float(np.median(self.block_s))


@dataclass(slots=True)
class Trial:
    """A program bound to a device."""

    model: ModelGraph
    training: Training
    program: Program
    device: Device
    rank: int = 0
    worker: Worker = field(init=False)
    done: int = 0
    """Steps so far."""

    def begin(self, fetch: Fetch) -> None:
        """Bind, and set the first parameters."""
        comm = None
        if self.program.ranks > 1:
            comm = Replayed(self.rank)
            comm.foretell(self.program, holds=False)
        self.worker = bind(
            self.program,
            self.rank,
            comm,
            fetch,
            lambda step, microbatch, task: Stream(0, step, 0, microbatch),
            device=self.device,
        )
        set_first(self.worker, self.model, self.training)

    def run(self, blocks: int, steps: int) -> Steps:
        """Run ``blocks`` times ``steps`` steps."""
        block_s, issue = [], []
        for _ in range(blocks):
            self.device.finish()
            start = time.perf_counter()
            for _ in range(steps):
                begun, waited_ns = time.perf_counter(), self.worker.loop.waited_ns
                self.worker.step[0] = self.done
                self.worker.loop.run()
                waited_ns = self.worker.loop.waited_ns - waited_ns
                issue.append(time.perf_counter() - begun - waited_ns / 1e9)
                self.done += 1
            self.device.finish()
            block_s.append((time.perf_counter() - start) / steps)
        return Steps(block_s=tuple(block_s), issue_s=float(np.median(issue)), loss=self.loss())

    def in_step_s(self, rounds: int = 3) -> dict[str, dict[str, float]]:
        """Return by op, in single steps, the host's median time to issue it and the device's own.

        The device is held at first, so that the host runs ahead of it as far as it can.
        """
        ops = {
            i: info.call.signature
            for i, task in enumerate(self.worker.tasks)
            if isinstance(info := self.program.tasks[task], ComputeTask)
        }
        host: dict[str, list[float]] = {op: [] for op in ops.values()}
        there: dict[str, list[float]] = {op: [] for op in ops.values()}
        loop, marks, issue_s = self.worker.loop, [], 0.0

        def marked(task: int, fire: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                begin = self.device.now()
                fire()
                marks.append((ops[task], begin, self.device.now()))

            return run

        for _ in range(rounds):
            self._one_step(partial(loop.run, traced=True))
            spent_ns = {i: loop.end_ns[i] - loop.start_ns[i] for i in ops}
            issue_s = sum(spent_ns.values()) / 1e9
            for i, op in ops.items():
                host[op].append(spent_ns[i] / 1e9)
        timed = loop.with_fires(marked)
        for _ in range(rounds):
            self._one_step(timed.run, hold_s=0.0 if self.device.is_host else 3 * issue_s)
            for op, begin, end in marks:
                there[op].append(end.seconds_since(begin))
            marks.clear()
        return {
            op: {
                "issue_s": 0.0 if self.device.is_host else float(np.median(host[op])),
                "device_s": float(np.median(there[op])),
            }
            for op in host
        }

    def _one_step(self, run: Callable[[], object], hold_s: float = 0.0) -> None:
        self.worker.step[0] = self.done
        self.device.finish()
        self.device.hold(hold_s)
        run()
        self.device.finish()
        self.done += 1

    def loop_task_s(self, steps: int = 9) -> float:
        """Return median seconds of the host for a task whose kernel does nothing: the loop's own.

        Only of a program without messages.
        """
        idle = self.worker.loop.with_fires(lambda task, fire: _nothing)
        found = []
        for _ in range(steps):
            start = time.perf_counter()
            idle.run()
            found.append(time.perf_counter() - start)
        return float(np.median(found)) / len(self.worker.tasks)

    def loss(self) -> float:
        """Loss of the last step, of this rank's samples."""
        rounds = self.worker.microbatches
        views = [
            View(register=STATS, slot=i, offset_bytes=0, shape=(2,), dtype="float64")
            for i in range(rounds)
        ]
        return sum(float(self.device.get(self.worker.arena.view(v))[0]) for v in views)


def _nothing() -> None:
    """Stand for a kernel."""


def predicted_s(program: Program, issue_s: Mapping[str, float]) -> tuple[float, float]:
    """Return the simulated step, and that of a host that issues each op in ``issue_s`` seconds.

    ``issue_s`` is by signature, 0 for what it has not.
    """
    timeline = simulate(program.graph)
    issue_ps = [
        to_ps(issue_s.get(info.call.signature, 0.0)) if isinstance(info, ComputeTask) else 0
        for info in program.tasks
    ]
    free = int(timeline.end_ps.max(initial=0))
    bounded = simulate(issued(program.graph, issue_ps, timeline.start_ps))
    return free / PS_PER_S, int(bounded.end_ps.max(initial=0)) / PS_PER_S
