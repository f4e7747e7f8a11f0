"""Plan files: read, checked, and predicted anew where they were edited."""

from dataclasses import replace
from pathlib import Path

from foreplan.training import check_source, check_training
from hwprofiles.errors import DeadlockError, PlanError, RecordError
from hwprofiles.registry import lookup
from hwprofiles.units import format_bytes
from planner.algorithms import algorithm, plan_algorithm
from planner.machine import Machine
from planner.memory import plan_arena_bytes
from planner.model import load_model
from planner.plan import Plan, Verdict, verdict
from planner.predict import predict
from planner.records import (
    PlanFile,
    RankedPlan,
    plans_sha256,
    read_record,
)


def read_plans(path: Path) -> PlanFile:
    """Read plan.json. Plans edited by hand are checked and predicted anew.

    Raises
    ------
    RecordError, PlanError, DeadlockError
        When the file is not a plan file, or an edited plan cannot be.
    """
    plans = read_record(path, PlanFile, "a plan file")
    model = load_model(plans.model)
    if model.sha256() != plans.model_sha256:
        raise RecordError(
            f"{path}: model {plans.model!r} has changed since this file was written; plan again"
        )
    if not plans.plans:
        raise RecordError(f"{path}: expected at least one plan, got none; plan again")
    check_training(f"{path}: training.{{}}", plans.training)
    machine = machine_of(path, plans)
    if plans_sha256(plans.plans) == plans.plans_sha256:
        return plans
    checked = tuple(check_plan(path, plans, ranked.plan, machine) for ranked in plans.plans)
    return replace(plans, plans=checked, plans_sha256=plans_sha256(checked))


def machine_of(path: Path, plans: PlanFile) -> Machine:
    """Return the machine of a plan file, or say that its records do not hang together."""
    try:
        return plans.to_machine()
    except (KeyError, IndexError) as error:
        raise RecordError(
            f"{path}: machine: expected every device and link that is named to be there, got none"
            f" for {error}; plan again"
        ) from error


LEAST = {
    "workers": 1,
    "microbatch": 1,
    "bucket_bytes": 1,
    "input_slots": 0,
    "activation_slots": 0,
    "landing_slots": 0,
    "decode_workers": 0,
    "prefetch": 1,
    "decode_cores": 0,
}
"""Least value of an edited field; too few slots are for the check of credits to explain."""
MOST = 2**31 - 1
"""Largest value of any of them: more is a slip, and more than the arithmetic holds."""


def check_plan(path: Path, plans: PlanFile, edited: Plan, machine: Machine) -> RankedPlan:
    """Check one plan of a file and predict it.

    Raises
    ------
    PlanError, DeadlockError
        When it cannot be.
    """
    model, where = load_model(plans.model), f"{path}: plan {edited.label!r}"
    for name, least in LEAST.items():
        value = getattr(edited, name)
        if not least <= value <= MOST:
            limit = f"at least {least}" if value < least else f"at most {MOST}"
            raise PlanError(f"{where}: {name} must be {limit}, got {value}; edit it again")
    if edited.workers == 1:
        lookup(f"{where}: algorithm", edited.algorithm, ["none"], error=PlanError)
    else:
        plan_algorithm(f"{where}: algorithm", edited.algorithm)
        algorithm(edited.algorithm).steps(edited.workers)
    cluster = machine.cluster(edited.workers)
    found = verdict(model, plans.training, edited, cluster)
    if found is not Verdict.FITS:
        raise PlanError(f"{where}: {found.value}; edit it again")
    check_source(where, plans.training, edited)
    placed, devices = edited.placement, len(cluster.devices)
    if not len(placed) == len(set(placed)) == edited.workers or not set(placed) <= set(
        range(devices)
    ):
        raise PlanError(
            f"{where}: placement must name {edited.workers} different devices of 0 to"
            f" {devices - 1}, got {list(placed)}; edit it again"
        )
    needed = plan_arena_bytes(model, plans.training, edited)
    most = min(cluster.devices[device].memory_bytes for device in placed)
    if needed > most:
        raise PlanError(
            f"{where}: {Verdict.OUT_OF_MEMORY.value} ({format_bytes(needed)} of"
            f" {format_bytes(most)}); edit it again"
        )
    try:
        prediction, _, _ = predict(model, plans.training, edited, machine)
    except DeadlockError as error:
        raise DeadlockError(f"{where}: {error}") from error
    return RankedPlan(label=edited.label, plan=edited, prediction=prediction)


def pick_plan(plans: PlanFile, pick: int) -> RankedPlan:
    """Return one plan of a file.

    Raises
    ------
    PlanError
        When there is none of that number.
    """
    if not 0 <= pick < len(plans.plans):
        raise PlanError(
            f"--pick {pick}: the plan file has plans 0 to {len(plans.plans) - 1}; pick one of them"
        )
    return plans.plans[pick]
