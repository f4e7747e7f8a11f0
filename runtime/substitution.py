"""A step simulated with other durations of its tasks, and its tasks by what they do."""

from dataclasses import replace

import numpy as np

from hwprofiles.units import PS_PER_S, to_ps
from planner.lower import lower
from planner.measurement import (
    OpTimes,
)
from planner.model import load_model
from planner.plan import Plan
from planner.program import Program, TransferTask
from planner.records import PlanFile
from planner.steady import settled, window_of
from sim.heap_engine import simulate
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline


class Substitution:
    """The predicted step with other durations of its tasks, in the steady state of a pipeline."""

    def __init__(self, plans: PlanFile, plan: Plan, one: Program) -> None:
        self._plans, self._plan = plans, plan
        self._window = window_of(plan, plans.training)
        self._programs = {1: one}

    def __call__(self, seconds: list[float] | None) -> float:
        """Return the step, seconds; ``seconds`` are by task of one step, as predicted if None."""

        def run(steps: int) -> tuple[Program, Timeline]:
            program = self._lowered(steps)
            graph = program.graph
            if seconds is not None:
                graph = _with_durations(graph, seconds * steps)
            return program, simulate(graph)

        _, _, span = settled(run, self._window)
        return span.period_ps / PS_PER_S

    def _lowered(self, steps: int) -> Program:
        if steps not in self._programs:
            machine, model = self._plans.to_machine(), load_model(self._plans.model)
            workers = self._plan.workers
            cluster, books = machine.cluster(workers), machine.books(workers)
            self._programs[steps] = lower(
                model, self._plans.training, self._plan, cluster, books, steps
            )
        return self._programs[steps]


def _with_durations(graph: TaskGraph, seconds: list[float]) -> TaskGraph:
    """Return the graph with other durations; a transfer's is all overhead."""
    return replace(
        graph,
        duration_ps=np.array([to_ps(s) for s in seconds], dtype=np.int64),
        payload_bytes=np.zeros_like(graph.payload_bytes),
    )


def op_times(
    program: Program,
    predicted: Timeline,
    alone_s: list[float],
    inside_s: list[float],
    replay: int | None,
) -> tuple[OpTimes, ...]:
    """Group the tasks of a program by what they do; of a replayed rank, what it computed."""
    groups: dict[tuple[str, str], list[int]] = {}
    for task, info in enumerate(program.tasks):
        if replay is not None and (replay not in info.ranks or isinstance(info, TransferTask)):
            continue
        if isinstance(info, TransferTask):
            name = f"transfer({int(program.graph.payload_bytes[task])} B)"
        else:
            name = info.call.signature
        groups.setdefault((info.phase, name), []).append(task)
    length_s = (predicted.end_ps - predicted.start_ps) / PS_PER_S
    return tuple(
        OpTimes(
            signature=name,
            phase=phase,
            firings=len(tasks),
            predicted_s=float(np.mean(length_s[tasks])),
            solo_s=float(np.mean([alone_s[t] for t in tasks])),
            traced_s=float(np.mean([inside_s[t] for t in tasks])),
        )
        for (phase, name), tasks in groups.items()
    )
