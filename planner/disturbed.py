"""A plan's step among stragglers, slow and failing links, and another job's traffic.

Slow workers and links that are slow from the start change the columns of the task graph, and any
engine times it. What happens to links in the middle of a step is for the SimPy engine.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.errors import LinkLost, PlanError
from hwprofiles.units import PS_PER_S, Floats
from planner.plan import Plan
from planner.program import ComputeTask, Program, TransferTask
from planner.records import edges_of
from planner.reprice import time_again
from planner.wires import WireName, name_wires
from sim.disturbances import Detour, Disturbances, LinkChange, Traffic
from sim.simpy_engine import simulate as simulate_changing
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline

QUANTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEvent:
    """What happens to all wires of a name, at an instant of the step."""

    wires: str
    """Name of a part, or one direction of one wire: ``0->nvswitch``."""
    factor: float
    """Of the bandwidth; 0: the wires fail."""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """All that disturbs the runs of a step."""

    factors: Mapping[int, float] = field(default_factory=dict)
    """By worker: how much longer it computes."""
    spread: float = 0.0
    """Mean of what a worker takes longer besides, as a share, drawn anew for each run: a shifted
    exponential (Lee et al., IEEE Trans. Inf. Theory 64, 2018, section III)."""
    events: tuple[LinkEvent, ...] = ()
    traffic: tuple[LinkEvent, ...] = ()
    """What another job wants of wires, as a share of their bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerouted:
    """Transfers between two devices that went round failed wires."""

    src: int
    dst: int
    """Devices."""
    failed: tuple[str, ...]
    """Wires of their route that had failed."""
    over: tuple[str, ...]
    """Wires that they took instead."""
    transfers: int
    """How many, in all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisturbedRuns:
    """What became of the runs."""

    undisturbed_s: float
    runs: int
    seed: int
    step_s: tuple[float, ...]
    """Of the runs that ended, in their order."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    stopped: int
    """Runs that a failed link stopped."""
    stop: str | None
    """Why the first of them stopped."""
    rerouted: tuple[Rerouted, ...]
    """What went round failed wires, most transfers first."""
    waits_s: tuple[tuple[float, ...], ...]
    """By worker: how long its compute lane waited for a message from (or to) each other worker, in
    the mean of the runs that ended."""


def disturbed_runs(
    program: Program,
    plan: Plan,
    cluster: Cluster,
    trouble: Trouble,
    *,
    runs: int = 1,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> DisturbedRuns:
    """Return what a step takes in ``runs`` runs; run ``i`` draws from the stream (seed, i).

    Raises
    ------
    PlanError
        When a worker or a wire is not there, or a number cannot be.
    """
    _check(trouble, plan.workers)
    graph, wires = program.graph, name_wires(edges_of(cluster), cluster.links, cluster.routing)
    slow = _slowed(graph, trouble, wires)
    detours = Detours.of(cluster, plan, program)
    happens = _happens(graph, trouble, wires, detours)
    step_s, stops = [], []
    waits = np.zeros((plan.workers, plan.workers))
    for run in range(runs):
        drawn = _stretched(slow, program, _longer(trouble, plan.workers, (seed, run)))
        try:
            timeline = _timed(drawn, happens)
        except LinkLost as error:
            stops.append(_named(str(error), wires, program))
        else:
            step_s.append(timeline.makespan_s)
            waits += waits_s(program, timeline)
        progress(run + 1, runs)
    found = {name: _quantile(step_s, part) for name, part in QUANTILES.items()}
    return DisturbedRuns(
        undisturbed_s=time_again(graph).makespan_s,
        runs=runs,
        seed=seed,
        step_s=tuple(step_s),
        **found,
        stopped=len(stops),
        stop=stops[0] if stops else None,
        rerouted=detours.rerouted(wires),
        waits_s=tuple(map(tuple, (waits / max(1, len(step_s))).tolist())),
    )


def waits_s(program: Program, timeline: Timeline) -> Floats:
    """Return how long each worker's compute lane waits for each other worker, (W, W), seconds.

    A gap on the lane is charged to the partner of the message that ended last before it closed,
    looking back over the worker's own tasks; a gap that no message ended is charged to nobody.
    """
    graph, found = program.graph, np.zeros((program.ranks, program.ranks))
    free_ps = dict.fromkeys(range(program.ranks), 0)
    for task in np.argsort(timeline.start_ps, kind="stable").tolist():
        info = program.tasks[task]
        if not isinstance(info, ComputeTask) or info.phase == "load":
            continue
        gap_ps = int(timeline.start_ps[task]) - free_ps[info.rank]
        free_ps[info.rank] = max(free_ps[info.rank], int(timeline.end_ps[task]))
        partner = _partner(program, timeline, graph, task, info.rank) if gap_ps > 0 else None
        if partner is not None:
            found[info.rank, partner] += gap_ps / PS_PER_S
    return found


def _partner(
    program: Program, timeline: Timeline, graph: TaskGraph, task: int, rank: int
) -> int | None:
    """Return the other end of the message that a task of ``rank`` waits for."""
    while True:
        before = graph.row("dep", task)
        if not before:
            return None
        task = max(before, key=lambda t: int(timeline.end_ps[t]))
        others = [r for r in program.tasks[task].ranks if r != rank]
        if others:
            return others[0]


Way = tuple[int, ...]
"""Links, one after the other."""


@dataclass(frozen=True, slots=True)
class Detours:
    """How to go round failed links, and who did.

    Routes are known by their links, so two pairs of devices with the same links have one detour.
    """

    cluster: Cluster
    pairs: Mapping[Way, tuple[int, int]]
    """Devices at the ends of each route of the plan; none of those to a switch that adds."""
    taken: Counter[tuple[Way, Way, Way]] = field(default_factory=Counter)
    """By route, its failed links and the links taken instead: transfers."""

    @classmethod
    def of(cls, cluster: Cluster, plan: Plan, program: Program) -> "Detours":
        """Return those of a plan's transfers."""
        pairs = {
            cluster.route(src, dst).link_ids: (src, dst)
            for info in program.tasks
            if isinstance(info, TransferTask) and not info.members
            for src, dst in [tuple(plan.placement[rank] for rank in info.ranks)]
        }
        return cls(cluster, pairs)

    def __call__(self, links: Sequence[int], failed: frozenset[int]) -> Sequence[int] | None:
        """Return the links that a transfer takes instead, None where there is no other way."""
        route = tuple(links)
        found = self.cluster.way_round(*self.pairs[route], failed) if route in self.pairs else None
        if found is not None:
            self.taken[route, tuple(link for link in route if link in failed), found] += 1
        return found

    def rerouted(self, wires: Sequence[WireName]) -> tuple[Rerouted, ...]:
        """Return who went round what, by name."""

        def names(links: Way) -> tuple[str, ...]:
            return tuple(wires[link].ends for link in links)

        return tuple(
            Rerouted(
                src=self.pairs[route][0],
                dst=self.pairs[route][1],
                failed=names(failed),
                over=names(over),
                transfers=count,
            )
            for (route, failed, over), count in self.taken.most_common()
        )


def _check(trouble: Trouble, workers: int) -> None:
    for worker, factor in trouble.factors.items():
        if not 0 <= worker < workers:
            raise PlanError(
                f"straggler {worker}: expected a worker 0 to {workers - 1}, got {worker}; the plan"
                f" has {workers}"
            )
        if not 0 < factor < float("inf"):
            raise PlanError(f"straggler {worker}: expected a factor above 0, got {factor:g}")


def _wires(event: LinkEvent, wires: Sequence[WireName]) -> list[int]:
    """Return the ids of the wires of a name."""
    name = re.sub(r"\s*->\s*", " -> ", event.wires)
    found = [i for i, wire in enumerate(wires) if name in (wire.link.name, wire.ends)]
    if not found:
        known = sorted({wire.link.name for wire in wires})
        raise PlanError(
            f"link {event.wires!r}: expected a part of the cluster ({', '.join(known)}) or a wire"
            f" such as {wires[0].ends.replace(' ', '')!r}, got neither; see `foreplan hw show`"
            if wires
            else f"link {event.wires!r}: the cluster has no links"
        )
    return found


def _slowed(graph: TaskGraph, trouble: Trouble, wires: Sequence[WireName]) -> TaskGraph:
    """Return the graph on links that are slow from the start."""
    rates = graph.link_bytes_per_s.copy()
    for event in trouble.events:
        ids = _wires(event, wires)
        if event.factor and not event.at_s:
            rates[ids] *= event.factor
    return replace(graph, link_bytes_per_s=rates)


def _happens(
    graph: TaskGraph, trouble: Trouble, wires: Sequence[WireName], detour: Detour
) -> Disturbances | None:
    """Return what happens in the middle of a step, None where nothing does."""
    changes = tuple(
        LinkChange(at_ps=round(event.at_s * PS_PER_S), link=link, factor=event.factor)
        for event in sorted(trouble.events, key=lambda event: event.at_s)
        if event.at_s or not event.factor
        for link in _wires(event, wires)
    )
    traffic = tuple(
        Traffic(link=link, most_bytes_per_s=event.factor * float(graph.link_bytes_per_s[link]))
        for event in trouble.traffic
        for link in _wires(event, wires)
    )
    if not changes and not traffic:
        return None
    return Disturbances(changes=changes, traffic=traffic, detour=detour)


def _longer(trouble: Trouble, workers: int, stream: Iterable[int]) -> Floats:
    """Return by worker how much longer it computes in one run."""
    factors = np.ones(workers)
    for worker, factor in trouble.factors.items():
        factors[worker] = factor
    late = np.random.default_rng(list(stream)).exponential(size=workers)
    return factors * (1 + trouble.spread * late)


def _stretched(graph: TaskGraph, program: Program, longer: Floats) -> TaskGraph:
    """Return the graph with the compute tasks of each worker that much longer."""
    factor = np.ones(graph.tasks)
    for task, info in enumerate(program.tasks):
        if isinstance(info, ComputeTask):
            factor[task] = longer[info.rank]
    stretched = np.ceil(graph.duration_ps * factor).astype(np.int64)
    return replace(graph, duration_ps=stretched)


def _timed(graph: TaskGraph, happens: Disturbances | None) -> Timeline:
    return simulate_changing(graph, disturbances=happens) if happens else time_again(graph)


def _named(sentence: str, wires: Sequence[WireName], program: Program) -> str:
    """Return what stopped a run with the names of link and transfer in place of their numbers."""

    def wire(match: re.Match[str]) -> str:
        return f"link {wires[int(match[1])].ends}"

    def transfer(match: re.Match[str]) -> str:
        return f"transfer {program.label(int(match[1]))}"

    return re.sub(r"transfer (\d+)", transfer, re.sub(r"link (\d+)", wire, sentence))


def _quantile(step_s: Sequence[float], part: float) -> float | None:
    """Return the least time that so large a part of the runs does not exceed."""
    if not step_s:
        return None
    return float(np.quantile(step_s, part, method="inverted_cdf"))
