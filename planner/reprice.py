"""Repricing: a plan lowered once and timed on hardware that differs in its figures only.

Lowering takes far longer than simulating. What links and devices cost is in a few columns of the
task graph; the rest follows from the plan and from which links its routes cross.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hwprofiles.costs import CostBook
from hwprofiles.errors import PlanError
from hwprofiles.link import Route
from hwprofiles.units import Ints, to_ps
from planner.exchange_tasks import first_sends
from planner.library_cost import library_prices
from planner.lower import lower
from planner.lowering import op_ps
from planner.machine import Machine
from planner.model import ModelGraph
from planner.opcall import OpCall
from planner.plan import Plan, Training
from planner.program import Program, RankedTasks
from planner.switching import Joined, route_between
from sim.engine import run
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline

ARRAY_FROM_TASKS = 500
"""A graph is timed hundreds of times here, so the array engine pays from fewer tasks on than for
one simulation: it is loaded in half a second, and then 10 times as fast as the heap engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """One plan with its program, and where in the graph every price stands."""

    model: ModelGraph
    training: Training
    plan: Plan
    program: Program
    link_ids: dict[tuple[int, int], tuple[int, ...]]
    """By source and destination rank: the links that its transfers cross."""
    books: Mapping[str, CostBook] = field(repr=False)
    """Of the machine for which it was lowered."""
    _ops: list[tuple[str, OpCall, Ints]] = field(repr=False)
    """Tasks by device name and call."""
    _sends: dict[tuple[int, int], Ints] = field(repr=False)
    """Transfers by source and destination rank."""
    _first_sends: list[tuple[str, int, Ints]] = field(repr=False)
    """Of every exchange: algorithm, elements, and its first transfers."""

    @classmethod
    def of(cls, model: ModelGraph, training: Training, plan: Plan, machine: Machine) -> "Lowered":
        """Lower ``plan`` for ``machine``.

        Raises
        ------
        PlanError
            When the plan has an input pipeline, for then one step does not say all.
        """
        if plan.decode_workers:
            raise PlanError(
                f"plan {plan.label!r}: expected one whose steps load by themselves, got one with an"
                " input pipeline; ask for the plan that it was made of"
            )
        cluster = machine.cluster(plan.workers)
        books = machine.books(plan.workers)
        program = lower(model, training, plan, cluster, books)
        tasks = program.tasks
        assert isinstance(tasks, RankedTasks)
        ops: dict[tuple[str, int], tuple[OpCall, list[Ints]]] = {}
        for rank, call, places in tasks.calls():
            device = cluster.devices[plan.placement[rank]].name
            ops.setdefault((device, id(call)), (call, []))[1].append(places)
        sends: dict[tuple[int, int], list[Ints]] = defaultdict(list)
        for src, dst, places in tasks.sends():
            sends[src, dst].append(places)
        return cls(
            model=model,
            training=training,
            plan=plan,
            program=program,
            link_ids={
                pair: route_between(cluster, plan.placement, *pair).link_ids for pair in sends
            },
            books=books,
            _ops=[(name, call, np.concatenate(some)) for (name, _), (call, some) in ops.items()],
            _sends={pair: np.concatenate(some) for pair, some in sends.items()},
            _first_sends=list(first_sends(program)),
        )

    def on(self, machine: Machine) -> TaskGraph:
        """Return the task graph of the plan on ``machine``, to the bit what ``lower`` returns.

        The machine has the same devices and wires; only their figures may differ.
        """
        plan, graph = self.plan, self.program.graph
        cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
        laws: dict[tuple[int, ...], tuple[Route | Joined, list[Ints]]] = {}
        for pair, tasks in self._sends.items():
            route = route_between(cluster, plan.placement, *pair)
            if route.link_ids != self.link_ids[pair]:
                return lower(self.model, self.training, plan, cluster, books).graph
            laws.setdefault(tuple(map(id, route.links)), (route, []))[1].append(tasks)
        duration_ps = graph.duration_ps.copy()
        for device, call, tasks in self._ops if books != self.books else ():
            duration_ps[tasks] = op_ps(books[device], call)
        for route, some in laws.values():
            tasks = np.concatenate(some)
            payload = graph.payload_bytes[tasks].astype(np.float64)
            duration_ps[tasks] = to_ps(route.overhead_s(payload))
        library_ps = library_prices(plan.placement, cluster, self.training.dtype)
        for name, elements, tasks in self._first_sends:
            duration_ps[tasks] += library_ps(name, elements)
        caps = [
            min(cluster.links[i].flow_cap_bytes_per_s for i in graph.row("route", r))
            for r in range(len(graph.route_cap_bytes_per_s))
        ]
        return replace(
            graph,
            duration_ps=duration_ps,
            link_bytes_per_s=np.array([link.bandwidth_bytes_per_s for link in cluster.links]),
            route_cap_bytes_per_s=np.array(caps, dtype=np.float64),
        )

    def step_ps(self, machine: Machine) -> int:
        """Return the simulated time of a step on ``machine``, picoseconds."""
        return time_again(self.on(machine)).makespan_ps


def time_again(graph: TaskGraph) -> Timeline:
    """Simulate one of many graphs of this size."""
    return run(graph, "array" if graph.tasks >= ARRAY_FROM_TASKS else "heap")
