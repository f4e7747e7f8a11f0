"""Published runs in stages: the layout that a row states, and the step that it leads to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from planner.machine import Machine
from planner.model import ModelGraph
from planner.pipeline import PipelinePlan, balance_of
from planner.pipeline_forecast import predict_pipeline
from planner.plan import Plan, Training

PIPELINES = Path(__file__).with_name("pipelines.csv")
"""Published pipelines whose layout is stated; layers are counted in our models."""
LAYOUT = ("micro_batches", "layer_balance")
"""Columns of a table, which need not be there: microbatches of a step, and layers of each stage
(of the model as built in, joined by ``|``). ``batch_per_device`` is then the microbatch."""
ROUNDS = 4
"""Microbatches for each stage where their number is not stated: from there on "the bubble overhead
was almost negligible" (Huang et al., GPipe, NeurIPS 2019, section 2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """How a published run is cut into stages and goes through them."""

    balance: tuple[int, ...]
    """Layers of each stage; empty for the best cut."""
    microbatches: int
    schedule: str
    recompute: str
    guessed: tuple[str, ...]
    """Columns of ``LAYOUT`` that the row leaves blank."""


def stages_of(told: Mapping[str, str], workers: int, schedule: str) -> Stages:
    """Return the stages that a row states; each worker has one.

    Checkpointing runs all microbatches forward again but the last, unless that is the only one
    (``checkpoint`` of torchgpipe: ``except_last`` by default).

    Raises
    ------
    ValueError
        When a column is no whole number, or no list of them.
    """
    given = told.get("layer_balance", "")
    balance = tuple(map(int, given.split("|"))) if given else ()
    count = int(told.get("micro_batches") or ROUNDS * workers)
    if (given and len(balance) != workers) or count < 1:
        raise ValueError
    checkpoints = "checkpoint" in told.get("comm_method", "")
    guessed = (x for x in LAYOUT if not told.get(x) and (x != "layer_balance" or workers > 1))
    return Stages(
        balance=balance,
        microbatches=count,
        schedule=schedule,
        recompute=("except-last" if count > 1 else "always") if checkpoints else "never",
        guessed=tuple(guessed),
    )


def pipelined_s(
    model: ModelGraph, training: Training, plan: Plan, stages: Stages, machine: Machine
) -> float:
    """Return the step of a model in stages."""
    cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
    chosen = PipelinePlan(
        balance=stages.balance or (len(model.layers),),
        microbatch=plan.microbatch,
        placement=plan.placement,
        schedule=stages.schedule,
        recompute=stages.recompute,
    )
    if not stages.balance:
        best = balance_of(model, training, chosen, plan.workers, cluster, books)
        chosen = chosen.cut(best)
    return predict_pipeline(model, training, chosen, machine)[0].step_s
