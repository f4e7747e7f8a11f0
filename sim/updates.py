"""Workers that send their updates to a parameter server each in its own time, bounded or not.

A worker reads the parameters, computes a gradient, sends it to the server, which applies it, and
goes on. With a bound K it may begin its step c only when every worker has ended step c - K - 1
(stale synchronous parallel: Ho et al., NIPS 2013); without one it never waits. The server's NIC
takes one message in and one out at a time, in the order in which they were sent.

Randomness comes in with the durations; nothing is drawn here.
"""

from dataclasses import dataclass

import numpy as np
import simpy

from hwprofiles.units import Ints
from sim.simpy_engine import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What an update costs on its way, picoseconds; parameters take the same way back."""

    serve_ps: int
    """How long the server's NIC is busy with it."""
    travel_ps: int
    """What else passes until it has arrived: the latency, and the rest of the worker's own NIC."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Updates:
    """Updates in the order in which the server applied them, U of them."""

    applied_ps: Ints
    """(U,)"""
    worker: Ints
    """(U,)"""
    delay: Ints
    """(U,) updates that others applied between the reading and the applying."""
    waited_ps: int
    """Time that all workers together waited for slower ones."""


def simulate_synchronous(compute_ps: Ints, exchange_ps: int) -> Ints:
    """Return when each step ends, (S,): the slowest worker, then the exchange.

    Parameters
    ----------
    compute_ps : int array, shape (W, S)
        How long each worker computes in each step.
    """
    return np.cumsum(compute_ps.max(axis=0) + exchange_ps)


def simulate_updates(compute_ps: Ints, server: Server, bound: int | None) -> Updates:
    """Return the updates of workers that do not move in step.

    Parameters
    ----------
    compute_ps : int array, shape (W, S)
        How long each worker computes in each of its steps.
    bound : int or None
        Most steps that a worker may be ahead of the slowest; None: as many as there are.
    """
    env = simpy.Environment()
    run = _Run(env, compute_ps, server, bound)
    for worker in range(len(compute_ps)):
        env.process(run.work(worker))
    env.run()
    rows = np.array(run.applied, dtype=np.int64).reshape(-1, 3)
    return Updates(
        applied_ps=rows[:, 0], worker=rows[:, 1], delay=rows[:, 2], waited_ps=run.waited_ps
    )


class _Run:
    """The server, the clocks of the workers, and who waits for them."""

    def __init__(
        self, env: simpy.Environment, compute_ps: Ints, server: Server, bound: int | None
    ) -> None:
        self.env = env
        self.compute_ps = compute_ps
        self.server = server
        self.bound = bound
        self.into = simpy.Resource(env, capacity=1)
        self.out_of = simpy.Resource(env, capacity=1)
        self.clocks = [0] * len(compute_ps)
        self.slowest_moved = env.event()
        self.applied: list[tuple[int, int, int]] = []
        self.waited_ps = 0

    def work(self, worker: int) -> Process:
        """Live the life of one worker."""
        for step, duration_ps in enumerate(self.compute_ps[worker].tolist()):
            began_ps = self.env.now
            while self.bound is not None and step - min(self.clocks) > self.bound:
                yield self.slowest_moved
            self.waited_ps += int(self.env.now - began_ps)
            version = len(self.applied)  # the server reads its parameters as it begins to send them
            yield from self.move(self.out_of)
            yield self.env.timeout(duration_ps)
            yield from self.move(self.into)
            self.applied.append((int(self.env.now), worker, len(self.applied) - version))
            self.advance(worker)

    def move(self, nic: simpy.Resource) -> Process:
        """Carry one message through the server's NIC."""
        with nic.request() as turn:
            yield turn
            yield self.env.timeout(self.server.serve_ps)
        yield self.env.timeout(self.server.travel_ps)

    def advance(self, worker: int) -> None:
        """Count a step of a worker; wake those who wait where the slowest has moved on."""
        slowest = min(self.clocks)
        self.clocks[worker] += 1
        if min(self.clocks) > slowest:
            self.slowest_moved.succeed()
            self.slowest_moved = self.env.event()
