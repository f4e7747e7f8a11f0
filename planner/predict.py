"""Predict one plan: lower it, check it, simulate it, and say how the number is known.

A plan with an input pipeline is lowered for several steps, of which those in the middle count.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwprofiles.grade import Grade
from hwprofiles.units import PS_PER_S
from planner.cost import estimate
from planner.input_forecast import InputForecast, forecast, loads_of
from planner.layout import memory_bytes
from planner.lower import lower
from planner.machine import Machine
from planner.model import ModelGraph
from planner.optimizer import optimizer, optimizer_names
from planner.plan import Plan, Training
from planner.precision import MASTERS, SCALING
from planner.program import PHASES, Program
from planner.steady import ONE_STEP, Span, settled, span_of, window_of
from planner.switching import route_between
from sim.checks import check_graph, peak_live_bytes
from sim.critical_path import critical_path
from sim.engine import choose, run
from sim.timeline import Timeline

HEADLINE_FRAC = 0.05
"""The headline grade is the weakest that covers this much of the critical path."""

INTERVAL_FRAC = {
    Grade.MEASURED: 0.10,
    Grade.FITTED: 0.25,
    Grade.DATASHEET: 0.60,
    Grade.EXTRAPOLATED: 0.60,
}
"""Half-width of the stated interval by grade. The first two are the claims that ``execute --check``
tests (docs/accuracy.md); the last says a peak is rarely reached. Where op costs rest on published
runs, the interval is theirs (``Evidence``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a plan will do: time, memory, and how sure we are."""

    step_s: float
    """Simulated time of one step; in the steady state, where a pipeline runs ahead of it."""
    closed_form_s: float
    bound_s: float
    samples_per_s: float
    interval_s: tuple[float, float]
    """Of the step time: 80 % where op costs rest on published runs, else stated by the grade."""
    phases_s: Mapping[str, float]
    """Busy time of rank 0 by phase, and its waiting."""
    memory_bytes: Mapping[str, int]
    """Static arena of the fullest worker by category."""
    arena_bytes: tuple[int, ...]
    """By rank."""
    live_peak_bytes: tuple[int, ...]
    """By rank: the most that is alive at once."""
    grade: str
    """Weakest grade that covers 5 % or more of the critical path."""
    grade_frac: Mapping[str, float]
    """Share of the critical path by grade."""
    tasks: int
    graph_sha256: str
    input: InputForecast | None = None
    """The stages of the input pipeline, where the plan has one."""

    @property
    def waste(self) -> float:
        """Arena over live peak on the fullest worker: what static allocation costs."""
        return max(a / p for a, p in zip(self.arena_bytes, self.live_peak_bytes, strict=True))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Simulation:
    """One plan, lowered and simulated."""

    model: ModelGraph
    training: Training
    plan: Plan
    machine: Machine
    span: Span
    program: Program
    timeline: Timeline
    step_ps: int
    least_ps: int
    """Closed form of the step, or the load of its input pipeline: its bound."""
    stages: InputForecast | None

    @property
    def arena_bytes(self) -> tuple[int, ...]:
        """By rank."""
        return tuple(self.program.arena_bytes(rank) for rank in range(self.program.ranks))

    def prediction(self) -> Prediction:
        """Say what it tells of the plan; takes about as long as a small plan takes to simulate."""
        program, timeline, machine = self.program, self.timeline, self.machine
        one = program.graph
        if self.plan.decode_workers:  # of several steps, of which the plan tells one
            workers = self.plan.workers
            cluster, books = machine.cluster(workers), machine.books(workers)
            one = lower(self.model, self.training, self.plan, cluster, books).graph
        shares = grade_shares(program, timeline, machine, self.plan)
        headline = headline_of(shares)
        step_s = self.step_ps / PS_PER_S
        static = [r.arena_bytes for r in program.registers[0] if r.name in RESIDENT]
        live = peak_live_bytes(program.graph, timeline)
        return Prediction(
            step_s=step_s,
            closed_form_s=self.least_ps / PS_PER_S,
            bound_s=self.least_ps / PS_PER_S,
            samples_per_s=self.training.batch / step_s,
            interval_s=interval_of(step_s, headline, machine, self.plan.workers),
            phases_s=phase_seconds(program, timeline, 0, self.span),
            memory_bytes=memory_bytes(self.model, self.training, self.plan),
            arena_bytes=self.arena_bytes,
            live_peak_bytes=tuple(
                sum(static) + int(live[self.plan.placement[rank]]) for rank in range(program.ranks)
            ),
            grade=headline.label,
            grade_frac={g.label: share for g, share in shares.items()},
            tasks=one.tasks,
            graph_sha256=one.sha256(),
            input=self.stages,
        )


def predict(
    model: ModelGraph, training: Training, plan: Plan, machine: Machine
) -> tuple[Prediction, Program, Timeline]:
    """Simulate one plan; return the prediction with the program and the timeline behind it.

    Raises
    ------
    DeadlockError
        When the plan's registers do not admit a step; the message names the tasks that wait.
    """
    found = simulation(model, training, plan, machine)
    return found.prediction(), found.program, found.timeline


def simulation(
    model: ModelGraph,
    training: Training,
    plan: Plan,
    machine: Machine,
    closed_ps: int | None = None,
    engine: str = "",
) -> Simulation:
    """Lower and simulate one plan.

    ``closed_ps`` is the closed form of its step, where a table has it: a plan of its space, whose
    program is not looked through before; that it can finish the simulation shows. ``engine`` is one
    of ``sim.engine.ENGINES``; without it, the one for so many tasks.

    Raises
    ------
    DeadlockError
        When the plan's registers do not admit a step; the message names the tasks that wait.
    """
    cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
    window = window_of(plan, training)

    def run_steps(steps: int) -> tuple[Program, Timeline]:
        program = lower(model, training, plan, cluster, books, steps)
        if closed_ps is None:
            name_register = program.register_names.__getitem__
            check_graph(program.graph, label=program.label, name_register=name_register)
        return program, run(program.graph, engine or choose(program.graph.tasks))

    program, timeline, span = settled(run_steps, window)
    step_ps = span.period_ps
    if closed_ps is None or plan.decode_workers:
        closed = estimate(model, training, plan, cluster, books)
        closed_ps = closed.closed_form_ps
    stages, least_ps = None, closed_ps
    if plan.decode_workers:
        loads = loads_of(model, training, plan, cluster, books, closed)
        least_ps = loads.period_ps
        # decode workers without a core may have done a little of the window's work before it
        step_ps = max(step_ps, least_ps)
        stages = forecast(model, training, plan, loads, step_ps)
    return Simulation(
        model=model,
        training=training,
        plan=plan,
        machine=machine,
        span=span,
        program=program,
        timeline=timeline,
        step_ps=step_ps,
        least_ps=least_ps,
        stages=stages,
    )


def headline_of(shares: Mapping[Grade, float]) -> Grade:
    """Return the weakest grade that covers enough of the critical path."""
    return max((g for g, share in shares.items() if share >= HEADLINE_FRAC), default=Grade.MEASURED)


def interval_of(
    step_s: float, headline: Grade, machine: Machine, workers: int
) -> tuple[float, float]:
    """Return the interval that runs left out say, else that of the grade."""
    told = machine.evidence.interval_s(step_s, workers) if machine.evidence else None
    return told or (step_s * (1 - INTERVAL_FRAC[headline]), step_s * (1 + INTERVAL_FRAC[headline]))


RESIDENT = (
    "parameters",
    "gradients",
    *(state for name in optimizer_names() for state in optimizer(name).STATES),
    MASTERS,
    SCALING,
)
"""Registers that live from step to step, beside those that tasks fill and free."""


def phase_seconds(
    program: Program, timeline: Timeline, rank: int, span: Span | None = None
) -> dict[str, float]:
    """Seconds of a step in which ``rank`` is busy with each phase, and in which it waits.

    Where phases overlap on different lanes the earlier one of ``PHASES`` claims the time, except
    that compute always goes before exchange: what is left of ``exchange`` is exposed.
    """
    spans: dict[str, list[tuple[int, int]]] = {phase: [] for phase in PHASES}
    span = span or span_of(program, timeline, ONE_STEP)
    first, last = span.first_ps, span.last_ps
    for task in program.of_rank(rank):
        start, end = (int(t[task]) for t in (timeline.start_ps, timeline.end_ps))
        if first <= start and end <= last:
            spans[program.deed(task).phase].append((start, end))
    order = ("forward", "backward", "update", "load", "exchange")
    ends = {first, last, *(e for s in spans.values() for t in s for e in t)}
    edges = np.array(sorted(ends), dtype=np.int64)
    owner = np.full(len(edges) - 1, -1)
    for i in reversed(range(len(order))):
        places = np.searchsorted(edges, np.array(spans[order[i]], dtype=np.int64).reshape(-1, 2))
        for start, end in places.tolist():
            owner[start:end] = i
    lengths = np.diff(edges) / PS_PER_S / span.steps
    found = {phase: float(lengths[owner == order.index(phase)].sum()) for phase in PHASES}
    return found | {"waiting": float(lengths[owner == -1].sum())}


def grade_shares(
    program: Program, timeline: Timeline, machine: Machine, plan: Plan
) -> dict[Grade, float]:
    """Share of the critical path by the grade of what determines each task's length."""
    cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
    totals = dict.fromkeys(Grade, 0)
    known: dict[tuple[str, int], Grade] = {}
    for task in critical_path(program.graph, timeline):
        deed = program.deed(task)
        if deed.call:
            device = cluster.devices[plan.placement[deed.ends[0]]].name
            key = device, id(deed.call)
            if key not in known:  # equal layers share their calls, and all ranks do
                known[key] = books[device].grade(deed.call)
            grade = known[key]
        else:
            route = route_between(cluster, plan.placement, *deed.ends)
            grade = max(link.grade for link in route.links)
        totals[grade] += int(timeline.end_ps[task] - timeline.start_ps[task])
    path_ps = sum(totals.values()) or 1
    return {grade: total / path_ps for grade, total in totals.items()}
