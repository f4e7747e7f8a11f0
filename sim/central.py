"""A central scheduler: one process that sends every task to its worker, one after the other.

It decides as the engines do, but its decisions cost time: the scheduler is busy ``dispatch_ps`` for
each task, and ``message_ps`` pass until the worker has the order and, later, the scheduler the
report. Meanwhile the lane that the task is for stands idle, as the worker of a central system does
that asks for more work when it has finished. Actors decide on the spot: the reference engine.
"""

from dataclasses import dataclass

import simpy

from sim.simpy_engine import Launch, Process
from sim.simpy_engine import simulate as simulate_actors
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """What the scheduler's decisions cost."""

    dispatch_ps: int
    """How long it is busy with one task."""
    message_ps: int = 0
    """An order on its way to the worker, and the worker's report on its way back."""

    def busy_ps(self, graph: TaskGraph) -> int:
        """How long it is busy with all tasks: no run takes less."""
        return graph.tasks * self.dispatch_ps


def simulate(graph: TaskGraph, scheduler: Scheduler) -> Timeline:
    """Return when the lanes of every task are taken for it, and when it ends.

    A scheduler that costs nothing is the reference engine, to the picosecond.

    Raises
    ------
    DeadlockError
        When tasks are left that can never start.
    """

    def launcher(env: simpy.Environment) -> Launch:
        desk = simpy.Resource(env, capacity=1)

        def launch(task: int) -> Process:
            """Queue at the scheduler's desk, then wait for the order."""
            del task
            with desk.request() as turn:
                yield turn
                yield env.timeout(scheduler.dispatch_ps)
            yield env.timeout(scheduler.message_ps)

        return launch

    return simulate_actors(graph, launcher=launcher)
