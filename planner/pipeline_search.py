"""The fastest pipeline that fits: over microbatches, schedules and what is run forward again.

Candidates are simulated from the least closed form on, until none that is left can be faster; so
the result is the best of all of them, on the best cut for each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwprofiles.errors import NothingFits, PlanError
from hwprofiles.units import PS_PER_S, format_bytes
from planner.machine import Machine
from planner.model import ModelGraph
from planner.pipeline import (
    PipelinePlan,
    balance_of,
    check_pipeline,
    closed_bounds_ps,
    schedule_names,
    stage_times,
)
from planner.pipeline_forecast import PipelinePrediction, predict_pipeline
from planner.plan import Training
from planner.stage_times import RECOMPUTE

MOST_ROUNDS = 128
"""Microbatches of a step that are tried, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best pipeline, and among how many."""

    plan: PipelinePlan
    prediction: PipelinePrediction
    candidates: int
    simulated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a pipeline must be; what is left open is searched."""

    stages: int = 0
    """Devices, one a stage; 0: those of ``balance``, else all there are."""
    microbatches: int = 0
    """Of a step."""
    balance: tuple[int, ...] = ()
    """Layers of each stage; without, the cut whose longest stage is shortest."""
    schedule: str = ""
    """A file of ``planner.schedules``."""
    recompute: str = ""
    """One of ``RECOMPUTE``."""

    def on(self, devices: int, layers: int) -> "Asked":
        """Return the same with the number of stages on so many devices.

        Raises
        ------
        PlanError
            When there are fewer, or ``balance`` has another number of stages.
        """
        stages = self.stages or len(self.balance) or min(devices, layers)
        if stages > devices:
            raise PlanError(
                f"{stages} stages: expected a device of its own for each, got {devices} devices;"
                " ask for fewer stages"
            )
        if self.balance and len(self.balance) != stages:
            raise PlanError(
                f"balance: expected {stages} numbers of layers, one a stage, got"
                f" {len(self.balance)}; give as many, or do not say how many stages"
            )
        return replace(self, stages=stages)


def best_pipeline(
    model: ModelGraph,
    training: Training,
    machine: Machine,
    asked: Asked,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """Return the fastest pipeline that fits and keeps the model's groups of samples together.

    Raises
    ------
    PlanError
        When nothing that is asked for can be.
    NothingFits
        When no candidate fits the devices.
    """
    asked = asked.on(machine.devices, len(model.layers))
    plans = _candidates(model, training, machine, asked)
    cluster, books = machine.cluster(asked.stages), machine.books(asked.stages)
    least = []
    for plan in plans:
        check_pipeline(model, training, plan, cluster)
        times = stage_times(model, training, plan, cluster, books)
        least.append(max(closed_bounds_ps(times, plan.schedule).values()) / PS_PER_S)
    best: tuple[PipelinePlan, PipelinePrediction] | None = None
    missing: list[PipelinePrediction] = []
    simulated = 0
    for at in sorted(range(len(plans)), key=least.__getitem__):
        if best and least[at] >= best[1].step_s:
            break
        progress(simulated, len(plans))
        prediction, _, _ = predict_pipeline(model, training, plans[at], machine)
        simulated += 1
        if not prediction.fits:
            missing.append(prediction)
        elif best is None or prediction.step_s < best[1].step_s:
            best = (plans[at], prediction)
    if best is None:
        raise _nothing(missing)
    return Found(plan=best[0], prediction=best[1], candidates=len(plans), simulated=simulated)


def _candidates(
    model: ModelGraph, training: Training, machine: Machine, asked: Asked
) -> list[PipelinePlan]:
    cluster, books = machine.cluster(asked.stages), machine.books(asked.stages)
    cuts: dict[tuple[int, bool], tuple[int, ...]] = {}
    found = []
    for microbatch in _microbatches(model, training.batch, asked.microbatches):
        for recompute in [asked.recompute] if asked.recompute else RECOMPUTE:
            for schedule in [asked.schedule] if asked.schedule else schedule_names():
                plan = PipelinePlan(
                    balance=asked.balance,
                    microbatch=microbatch,
                    placement=tuple(range(asked.stages)),
                    schedule=schedule,
                    recompute=recompute,
                )
                key = (microbatch, recompute == "never")
                if not asked.balance and key not in cuts:
                    cuts[key] = balance_of(model, training, plan, asked.stages, cluster, books)
                found.append(plan if asked.balance else plan.cut(cuts[key]))
    return found


def _microbatches(model: ModelGraph, batch: int, rounds: int) -> Sequence[int]:
    """Return the samples of a microbatch that are possible, many first."""
    counts = [rounds] if rounds else range(1, MOST_ROUNDS + 1)
    found = [
        batch // count
        for count in counts
        if batch % count == 0 and (batch // count) % model.norm_group == 0
    ]
    if not found:
        of = f"{rounds} microbatches" if rounds else "microbatches"
        raise PlanError(
            f"batch {batch}: expected {of} of a multiple of the {model.norm_group} samples that"
            f" {model.name!r} normalises together; change the batch or their number"
        )
    return found


def _nothing(missing: Sequence[PipelinePrediction]) -> NothingFits:
    """Say what the candidate lacks that lacks least."""

    def lack(prediction: PipelinePrediction) -> int:
        return max(stage.total_bytes - stage.device_bytes for stage in prediction.stages)

    nearest = min(missing, key=lack)
    stage, facts = max(
        enumerate(nearest.stages), key=lambda item: item[1].total_bytes - item[1].device_bytes
    )
    return NothingFits(
        f"no pipeline of {len(nearest.stages)} stages fits: the nearest one needs"
        f" {format_bytes(facts.total_bytes)} on stage {stage} ({_most(facts.memory_bytes)}), its"
        f" device has {format_bytes(facts.device_bytes)}; more stages or a smaller batch"
    )


def _most(memory: Mapping[str, int]) -> str:
    name = max(memory, key=memory.__getitem__)
    return f"{format_bytes(memory[name])} of {name}"
