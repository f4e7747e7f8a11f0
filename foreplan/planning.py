"""Planning as a Python function: calibrate, search, and what a plan file holds."""

from collections.abc import Callable, Mapping
from pathlib import Path

import foreplan
from foreplan.machines import Local, informed_machine
from foreplan.training import check_training
from planner.machine import Machine
from planner.model import ModelGraph, load_model, model_names
from planner.opsets import general_calls, plan_calls, space_calls
from planner.plan import Plan, Training
from planner.published.fitted import USUAL
from planner.records import (
    SCHEMA,
    ClusterRecord,
    PlanFile,
    RankedPlan,
    cluster_record,
    plans_sha256,
)
from planner.search import Progress as SearchProgress
from planner.search import search, search_front
from planner.space import Constraints

LEAST_MICROBATCH = 4
"""Smallest microbatch whose ops ``calibrate`` times for a model; smaller ones use the curves.

A batch that gives a worker no more is one microbatch."""


def tool() -> str:
    """Name and version written into every file."""
    return f"foreplan {foreplan.__version__}"


def models() -> list[str]:
    """Return the names of the built-in models."""
    return list(model_names())


def calibrate(
    *,
    workers: int | None = None,
    model: str | None = None,
    training: Training | None = None,
    backend: str = "numpy",
    progress: Callable[[int, int, int], None] = lambda workers, done, total: None,
) -> dict[int, int]:
    """Time ops on this machine, for each number of workers up to ``workers``.

    With ``model`` and ``training`` only the ops that plans of it use; else the general set that
    curves are fitted to. Return how many ops were timed, by number of workers. Kernels are those of
    ``backend``; what is measured counts for the cluster ``local``, or ``local:BACKEND``.
    """
    from runtime.kernels import refuse_missing

    local = Local.here(backend)
    counts = {}
    for w in [workers] if workers else range(1, local.facts.physical_cores + 1):
        if model and training:
            least = max(1, min(LEAST_MICROBATCH, training.batch // w))
            calls = space_calls(load_model(model), training, w, least)
            refuse_missing(model, calls.values())
        else:
            calls = general_calls(training.dtype if training else "float32")

        def step(done: int, total: int, lanes: int = w) -> None:
            progress(lanes, done, total)

        counts[w] = len(local.calibrate(calls, w, step).ops)
    return counts


def plan(
    model: str,
    cluster: str,
    training: Training,
    *,
    top: int = 5,
    budget: int | None = None,
    fixed: Mapping[str, int | bool | str] | None = None,
    constraints: Constraints | None = None,
    objective: str = "time",
    pareto: tuple[str, str] | None = None,
    software: str = USUAL,
    calibrate: Path | None = None,
    progress: SearchProgress = lambda stage, done, total, best: None,
) -> PlanFile:
    """Search the plans of ``model`` on ``cluster``; return the best with their certificate.

    ``objective`` is one of ``planner.objective.FORMULAS``; with ``pareto`` the plans are those that
    no other beats in two objectives both. ``fixed`` is short for constraints that fix plan fields.
    Devices are as efficient as published runs of ``software`` were, shifted by the runs of one's
    own in the file ``calibrate``; software ``datasheet`` takes all peaks as reached.
    """
    check_training("training.{}", training)
    machine = informed_machine(cluster, software, calibrate)
    graph = load_model(model)
    asked = constraints or Constraints(fixed=dict(fixed or {}))
    if pareto:
        result = search_front(
            graph, training, machine, pareto, budget=budget, constraints=asked, progress=progress
        )
    else:
        result = search(
            graph,
            training,
            machine,
            top=top,
            budget=budget,
            constraints=asked,
            objective=objective,
            progress=progress,
        )
    ranked = tuple(
        RankedPlan(label=c.plan.label, plan=c.plan, prediction=c.prediction) for c in result.best
    )
    return PlanFile(
        schema=SCHEMA,
        tool=tool(),
        model=graph.name,
        cluster=machine.name,
        training=training,
        model_sha256=graph.sha256(),
        plans=ranked,
        plans_sha256=plans_sha256(ranked),
        certificate=result.certificate,
        machine=_machine_records(machine, graph, training, [c.plan for c in result.best]),
        fixed=dict(asked.fixed),
        most=dict(asked.most),
        evidence=machine.evidence,
        node=machine.node,
    )


def _machine_records(
    machine: Machine, model: ModelGraph, training: Training, plans: list[Plan]
) -> dict[int, ClusterRecord]:
    """Copy what the plans' predictions rest on, by number of workers."""
    found = {}
    for workers in sorted({p.workers for p in plans}):
        used: set[str] = set()
        if any(book.ops for book in machine.books(workers).values()):
            for p in plans:
                if p.workers == workers:
                    used |= plan_calls(model, training, p).keys()
        key = workers if workers in machine.clusters else 0
        found[key] = cluster_record(machine, workers, used)
    return found
