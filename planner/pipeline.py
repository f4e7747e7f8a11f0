"""Pipeline parallelism: a plan of stages, and what their passes and transfers take.

A stage is a run of layers on one device. Microbatches go through the stages one behind the other,
in the order that a schedule (``planner.schedules``) gives each of them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.exchange_work import lone_ps
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.piece_prices import UpdateTimes, pass_times
from planner.plan import Plan, Training
from planner.stage_times import RECOMPUTE, Pair, StageTimes
from planner.stages import Crossing, balanced, check_balance, crossings, cut_elements, stage_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinePlan:
    """One way to train in stages."""

    balance: tuple[int, ...]
    """Layers of each stage."""
    microbatch: int
    """Samples."""
    placement: tuple[int, ...]
    """Device of each stage."""
    schedule: str = "gpipe"
    """A file of ``planner.schedules``."""
    recompute: str = "except-last"
    """One of ``RECOMPUTE``."""

    def microbatches(self, batch: int) -> int:
        """Return the microbatches of a step."""
        return batch // self.microbatch

    def cut(self, balance: tuple[int, ...]) -> "PipelinePlan":
        """Return the plan with other stages, on the same devices."""
        return replace(self, balance=balance)

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.balance)


def schedule_names() -> list[str]:
    """Return the names of the schedules."""
    return sorted(names("planner.schedules"))


def schedule(name: str) -> ModuleType:
    """Return the module of a schedule."""
    lookup("schedule", name, schedule_names(), error=PlanError)
    return import_module(f"planner.schedules.{name}")


def check_pipeline(
    model: ModelGraph, training: Training, plan: PipelinePlan, cluster: Cluster
) -> None:
    """Refuse a plan that cannot be.

    Raises
    ------
    PlanError
        In one sentence.
    """
    schedule(plan.schedule)
    lookup("recompute", plan.recompute, list(RECOMPUTE), error=PlanError)
    check_balance(model, plan.balance)
    if training.batch % plan.microbatch:
        raise PlanError(
            f"batch {training.batch}: expected a multiple of the microbatch, got {plan.microbatch};"
            " change one of them"
        )
    if len(set(plan.placement)) < plan.stages or max(plan.placement) >= len(cluster.devices):
        raise PlanError(
            f"{plan.stages} stages: expected a device of its own for each, got"
            f" {len(cluster.devices)} devices; ask for fewer stages"
        )


def one_microbatch(plan: PipelinePlan) -> Plan:
    """Return the plan of one worker whose passes are those of all stages together."""
    return Plan(
        workers=1,
        microbatch=plan.microbatch,
        placement=(0,),
        algorithm="none",
        bucket_bytes=0,
        overlap=False,
    )


def layer_times(
    model: ModelGraph, calls: StepCalls, book: CostBook
) -> tuple[int, Mapping[str, Ints]]:
    """Return the load, and by phase the time of each layer, shape (L,), picoseconds.

    Phases are ``forward``, ``backward`` (that of the last layer has the loss) and ``add``.
    """
    found = pass_times(model, calls, book)
    layers = len(model.layers)
    place = np.array([f.layer if f.layer >= 0 else layers - 1 for f in model.passes])
    forward = np.array([f.kind == "forward" for f in model.passes])
    fired = np.diff(found.until_ps, prepend=0)
    added = np.diff(found.added_ps, prepend=0)
    phases = {"forward": fired * forward, "backward": fired * ~forward, "add": added}
    return found.load_ps, {name: _by(place, ps, layers) for name, ps in phases.items()}


def _by(place: Ints, values: Ints, count: int) -> Ints:
    total = np.zeros(count, dtype=np.int64)
    np.add.at(total, place, values)
    return total


def stage_times(
    model: ModelGraph,
    training: Training,
    plan: PipelinePlan,
    cluster: Cluster,
    books: Mapping[str, CostBook],
) -> StageTimes:
    """Return what the parts of a step take, each stage on its own device."""
    calls = StepCalls.of(model, training, one_microbatch(plan))
    stage = np.array(stage_of(plan.balance))
    devices = [cluster.devices[place].name for place in plan.placement]
    times = {name: layer_times(model, calls, books[name]) for name in dict.fromkeys(devices)}
    parameters = _by(stage, np.array([x.parameter_count for x in model.layers]), plan.stages)
    updates = {name: UpdateTimes(calls, [books[name]]) for name in times}

    def by_stage(phase: str) -> tuple[int, ...]:
        totals = {name: _by(stage, found[phase], plan.stages) for name, (_, found) in times.items()}
        return tuple(int(totals[name][at]) for at, name in enumerate(devices))

    crossing = crossings(model, plan.balance)
    lone = transfers(training, plan, cluster)
    return StageTimes(
        microbatches=plan.microbatches(training.batch),
        recompute=plan.recompute,
        load_ps=times[devices[0]][0],
        forward_ps=by_stage("forward"),
        backward_ps=by_stage("backward"),
        add_ps=by_stage("add"),
        update_ps=tuple(
            updates[name].of_buckets([int(elements)])[1] if elements else 0
            for name, elements in zip(devices, parameters, strict=True)
        ),
        sent_ps=_by_pair(crossing, lone, back=False),
        returned_ps=_by_pair([c for c in crossing if c.returns], lone, back=True),
    )


def _by_pair(
    crossing: Iterable[Crossing], lone: Callable[..., int], *, back: bool
) -> dict[Pair, int]:
    """Add up the transfers of one microbatch between each two stages."""
    found: dict[Pair, int] = {}
    for c in crossing:
        pair = (c.source, c.target)
        found[pair] = found.get(pair, 0) + lone(c, back=back)
    return found


def transfers(training: Training, plan: PipelinePlan, cluster: Cluster) -> Callable[..., int]:
    """Return ``(crossing, back=...)`` to the time of a lone transfer of one microbatch."""
    each = plan.microbatch * DTYPE_BYTES[training.dtype]

    @cache
    def lone(crossing: Crossing, *, back: bool) -> int:
        ends = (plan.placement[crossing.source], plan.placement[crossing.target])
        route = cluster.route(*(ends[::-1] if back else ends))
        return lone_ps(route, float(crossing.elements * each))[0]

    return lone


def balance_of(
    model: ModelGraph,
    training: Training,
    plan: PipelinePlan,
    stages: int,
    cluster: Cluster,
    books: Mapping[str, CostBook],
) -> tuple[int, ...]:
    """Return the best cut into stages, by the times of the first device and its way to the next.

    What ``plan`` says of microbatches and of running forward again counts, not its own cut.

    Raises
    ------
    PlanError
        When the model has fewer layers.
    """
    if stages > len(model.layers):
        raise PlanError(
            f"{stages} stages: expected at most the {len(model.layers)} layers of {model.name!r};"
            " ask for fewer"
        )
    if stages == 1:
        return (len(model.layers),)
    calls = StepCalls.of(model, training, one_microbatch(plan))
    _, found = layer_times(model, calls, books[cluster.devices[0].name])
    again = found["forward"] if plan.recompute != "never" else 0
    work = found["forward"] + found["backward"] + found["add"] + again
    sizes = cut_elements(model) * plan.microbatch * DTYPE_BYTES[training.dtype]
    return balanced(work, lone_ps(cluster.route(0, 1), sizes.astype(np.float64))[0], stages)


def closed_bounds_ps(times: StageTimes, name: str) -> Mapping[str, int]:
    """Return named lower bounds of a step; the largest is its closed form.

    It is the simulation where nothing is contended and stages are equal.
    """
    bounds: dict[str, int] = schedule(name).bounds_ps(times)
    return {**times.lane_bounds_ps(), **bounds}
