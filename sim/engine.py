"""Which engine times a graph; all of them give every task the same start and end.

The array engine is loaded only when it is used; its code is compiled the first time, and kept.
"""

from importlib import import_module

from sim.taskgraph import TaskGraph
from sim.timeline import Timeline

ENGINES = ("simpy", "heap", "array")
"""``sim.NAME_engine``: the reference, the one for small graphs, the one for large graphs."""

ARRAY_FROM_TASKS = 20_000
"""Below it the heap engine is done (170,000 tasks/s) before the array engine is loaded."""


def choose(tasks: int) -> str:
    """Return the name of the engine for so many tasks."""
    return "heap" if tasks < ARRAY_FROM_TASKS else "array"


def compiles(engine: str) -> bool:
    """Whether the first graph that this engine times waits for its code, some ten seconds."""
    return engine == "array" and not import_module("sim.array_engine").run.is_kept


def simulate(graph: TaskGraph) -> Timeline:
    """Return when every task starts and ends, by the engine for this many tasks; see ``run``."""
    return run(graph, choose(graph.tasks))


def run(graph: TaskGraph, engine: str) -> Timeline:
    """Return when every task starts and ends, by one of ``ENGINES``.

    Raises
    ------
    DeadlockError
        When tasks are left that can never start.
    PlanError
        When the step is longer than 2**63 picoseconds.
    """
    timeline = import_module(f"sim.{engine}_engine").simulate(graph)
    assert isinstance(timeline, Timeline)
    return timeline
