"""Predict a pipelined step: its stages, their memory, and how long they wait for one another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hwprofiles.grade import Grade
from hwprofiles.units import PS_PER_S
from planner.calls import StepCalls
from planner.machine import Machine
from planner.model import ModelGraph
from planner.pipeline import (
    PipelinePlan,
    check_pipeline,
    closed_bounds_ps,
    one_microbatch,
    stage_times,
)
from planner.pipeline_graph import PipelineProgram, pipeline_program
from planner.pipeline_memory import stage_registers
from planner.plan import Training
from planner.predict import headline_of, interval_of
from planner.registers import Register
from planner.stages import crossings, stage_of, ties
from sim.checks import check_graph
from sim.critical_path import critical_path
from sim.engine import simulate
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFacts:
    """One stage of a step."""

    device: int
    first_layer: str
    last_layer: str
    layers: int
    parameters: int
    forward_s: float
    """Of a microbatch."""
    backward_s: float
    """Of a microbatch."""
    busy_frac: float
    """Share of the step in which it computes."""
    sent_bytes: int
    """To other stages in a step, values and gradients."""
    memory_bytes: Mapping[str, int]
    """Of its registers, by category."""
    device_bytes: int
    """What its device has."""

    @property
    def total_bytes(self) -> int:
        """All its registers."""
        return sum(self.memory_bytes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinePrediction:
    """What a pipelined step will do."""

    step_s: float
    """Simulated."""
    closed_form_s: float
    samples_per_s: float
    interval_s: tuple[float, float]
    """80 % where op costs rest on published runs of devices by themselves, else by the grade."""
    grade: str
    """Weakest grade that covers 5 % or more of the critical path."""
    bubble_frac: float
    """Share of the devices' time in which they do not compute."""
    bounds_s: Mapping[str, float]
    """Lower bounds by name; the largest is the closed form."""
    stages: tuple[StageFacts, ...]
    tasks: int
    graph_sha256: str

    @property
    def fits(self) -> bool:
        """Whether each device holds its stage."""
        return all(stage.total_bytes <= stage.device_bytes for stage in self.stages)


def predict_pipeline(
    model: ModelGraph, training: Training, plan: PipelinePlan, machine: Machine
) -> tuple[PipelinePrediction, PipelineProgram, Timeline]:
    """Simulate one pipelined step; return the prediction with the program and the timeline.

    Raises
    ------
    PlanError
        When the plan cannot be.
    """
    cluster, books = machine.cluster(plan.stages), machine.books(plan.stages)
    check_pipeline(model, training, plan, cluster)
    times = stage_times(model, training, plan, cluster, books)
    crossing, tied = crossings(model, plan.balance), ties(model, plan.balance)
    registers = stage_registers(model, training, plan, crossing, tied)
    program = pipeline_program(training, plan, times, crossing, tied, registers, cluster)
    check_graph(program.graph, label=program.label)
    timeline = simulate(program.graph)
    bounds = closed_bounds_ps(times, plan.schedule)
    step_s = timeline.makespan_s
    busy, sent = _busy_ps(program, timeline, plan.stages), _sent_bytes(program, plan.stages)
    ends = np.cumsum(plan.balance).tolist()
    stages = tuple(
        StageFacts(
            device=plan.placement[at],
            first_layer=model.layers[end - size].name,
            last_layer=model.layers[end - 1].name,
            layers=size,
            parameters=sum(layer.parameter_count for layer in model.layers[end - size : end]),
            forward_s=times.forward_ps[at] / PS_PER_S,
            backward_s=times.backward_ps[at] / PS_PER_S,
            busy_frac=busy[at] / PS_PER_S / step_s,
            sent_bytes=sent[at],
            memory_bytes=_by_category(registers[at].values()),
            device_bytes=cluster.devices[plan.placement[at]].memory_bytes,
        )
        for at, (size, end) in enumerate(zip(plan.balance, ends, strict=True))
    )
    headline = _grade(model, training, plan, machine, program, timeline)
    prediction = PipelinePrediction(
        step_s=step_s,
        closed_form_s=max(bounds.values()) / PS_PER_S,
        samples_per_s=training.batch / step_s,
        interval_s=interval_of(step_s, headline, machine, plan.stages),
        grade=headline.label,
        bubble_frac=1 - sum(stage.busy_frac for stage in stages) / plan.stages,
        bounds_s={name: ps / PS_PER_S for name, ps in bounds.items()},
        stages=stages,
        tasks=program.graph.tasks,
        graph_sha256=program.graph.sha256(),
    )
    return prediction, program, timeline


def _busy_ps(program: PipelineProgram, timeline: Timeline, stages: int) -> list[int]:
    """Return by stage how long it computes."""
    busy = [0] * stages
    for task, ps in zip(program.tasks, timeline.end_ps - timeline.start_ps, strict=True):
        if task.phase not in ("load", *TRANSFERS):
            busy[task.stage] += int(ps)
    return busy


TRANSFERS = ("send", "return")
"""Phases of transfers."""


def _sent_bytes(program: PipelineProgram, stages: int) -> list[int]:
    """Return by stage what it sends in a step."""
    sent = [0] * stages
    for task, payload in zip(program.tasks, program.graph.payload_bytes, strict=True):
        sent[task.stage] += int(payload)
    return sent


def _by_category(registers: Iterable[Register]) -> dict[str, int]:
    """Add up the bytes of registers."""
    found: dict[str, int] = {}
    for register in registers:
        found[register.category] = found.get(register.category, 0) + register.arena_bytes
    return found


def _grade(
    model: ModelGraph,
    training: Training,
    plan: PipelinePlan,
    machine: Machine,
    program: PipelineProgram,
    timeline: Timeline,
) -> Grade:
    """Return the headline grade: a pass counts by its ops, a transfer by its links."""
    cluster, books = machine.cluster(plan.stages), machine.books(plan.stages)
    calls = StepCalls.of(model, training, one_microbatch(plan))
    stages = stage_of(plan.balance)
    of_stage: list[dict[Grade, float]] = [dict.fromkeys(Grade, 0.0) for _ in plan.balance]
    for firing in model.passes:
        stage = stages[firing.layer]
        book = books[cluster.devices[plan.placement[stage]].name]
        cost = book.cost(firing.call(calls, model.layers[firing.layer].parameter_count))
        of_stage[stage][cost.grade] += cost.seconds
    totals = dict.fromkeys(Grade, 0.0)
    for task in critical_path(program.graph, timeline):
        info = program.tasks[task]
        length = int(timeline.end_ps[task] - timeline.start_ps[task])
        if info.phase in TRANSFERS:
            route = cluster.route(plan.placement[info.stage], plan.placement[info.target])
            totals[max(link.grade for link in route.links)] += length
            continue
        whole = sum(of_stage[info.stage].values())
        for grade, seconds in of_stage[info.stage].items():
            totals[grade] += length * seconds / whole
    path = sum(totals.values())
    return headline_of({grade: length / path for grade, length in totals.items()})
