"""Pipelines as a Python function: the fastest that fits, or a given one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foreplan.machines import informed_machine
from foreplan.training import check_training
from planner.evidence import Evidence
from planner.model import load_model
from planner.pipeline import PipelinePlan
from planner.pipeline_forecast import PipelinePrediction, predict_pipeline
from planner.pipeline_search import Asked, best_pipeline
from planner.plan import Training
from planner.published.fitted import USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipelined:
    """A pipeline and what it will do."""

    model: str
    cluster: str
    training: Training
    plan: PipelinePlan
    microbatches: int
    prediction: PipelinePrediction
    candidates: int
    """Among which it is the fastest that fits."""
    simulated: int
    evidence: Evidence | None
    """What the devices' efficiency rests on."""


def pipeline(
    model: str,
    cluster: str,
    training: Training,
    asked: Asked | None = None,
    *,
    software: str = USUAL,
    calibrate: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pipelined:
    """Return the fastest pipeline of ``model`` on the first devices of ``cluster`` that fits.

    Raises
    ------
    ForeplanError
        What cannot be, in one sentence; ``NothingFits`` when the devices are too small.
    """
    check_training("training.{}", training)
    machine, graph = informed_machine(cluster, software, calibrate), load_model(model)
    found = best_pipeline(graph, training, machine, asked or Asked(), progress)
    return Pipelined(
        model=graph.name,
        cluster=machine.name,
        training=training,
        plan=found.plan,
        microbatches=found.plan.microbatches(training.batch),
        prediction=found.prediction,
        candidates=found.candidates,
        simulated=found.simulated,
        evidence=machine.evidence,
    )


def draw_pipeline(found: Pipelined, software: str, calibrate: Path | None) -> str:
    """Return the simulated step as an SVG file: a lane for each stage."""
    from reports.canvas import standalone
    from reports.pipeline_figure import pipeline_figure

    machine = informed_machine(found.cluster, software, calibrate)
    model = load_model(found.model)
    _, program, timeline = predict_pipeline(model, found.training, found.plan, machine)
    title = f"{found.model}, {found.plan.stages} stages, {found.plan.schedule}"
    return standalone(pipeline_figure(title, program, timeline, found.plan.stages))
