"""The answer of a search as text: its evidence, the best plans, the certificate."""

from math import ceil
from typing import TYPE_CHECKING

from foreplan.console import out, table
from foreplan.shifts import show_shifts

if TYPE_CHECKING:
    from planner.evidence import Evidence
    from planner.plan import Plan
    from planner.records import PlanFile, RankedPlan


def show_evidence(evidence: "Evidence | None") -> None:
    """Print which software's published runs devices are priced by, and what is shifted."""
    if evidence is None:
        return
    if evidence.software:
        out(
            f"devices as published runs of {evidence.software} reached them; --software names other"
            " software, or `datasheet`"
        )
    for device, generation in evidence.without_rows:
        out(
            f"no published run is on {device}: as much of its datasheet as devices of {generation}"
            " reach"
        )
    for stack in evidence.stacks:
        out(stack.sentence)
    show_shifts(evidence.shifts)


def show_exchange(asked: object, plan: "Plan", dtype: str) -> None:
    """Print which algorithms a library's tables choose, where they do."""
    from hwprofiles.units import format_bytes
    from planner.algorithms import turns
    from planner.library_choice import is_policy
    from planner.opcall import DTYPE_BYTES

    if not is_policy(asked):
        return
    first, *later = turns(plan.algorithm)
    text = "".join(f", {name} from {format_bytes(n * DTYPE_BYTES[dtype])}" for name, n in later)
    out(f"exchange as {asked} chooses, by the size of a bucket: {first[0]}{text}")


def show_plans(found: "PlanFile", samples: float = 0) -> None:
    """Print the answer, the best plans and the certificate."""
    from foreplan.machines import load_machine
    from hwprofiles.units import format_bytes, format_frac, format_s
    from planner.objective import FORMULAS, Objective

    proof = found.certificate
    names = [n for n in proof.objective.split(" and ") if n not in ("time", "throughput", "memory")]
    aims = [Objective.named(name, load_machine(found.cluster)) for name in names]
    best = found.plans[0].prediction
    out(
        f"{found.model}, batch {found.training.batch}, on {found.cluster}: {found.plans[0].label},"
        f" {format_s(best.step_s)} a step, {best.samples_per_s:,.0f} samples/s"
        f" (grade {best.grade}, {found.interval_kind} interval"
        f" {format_s(best.interval_s[0])} to {format_s(best.interval_s[1])})"
    )
    show_evidence(found.evidence)
    show_exchange((found.fixed or {}).get("algorithm"), found.plans[0].plan, found.training.dtype)
    out()
    rows = [
        (
            ranked.label,
            format_s(ranked.prediction.step_s, 4),
            format_frac(ranked.prediction.step_s / best.step_s - 1),
            format_s(ranked.prediction.closed_form_s, 4),
            format_s(ranked.prediction.bound_s, 4),
            format_bytes(max(ranked.prediction.arena_bytes)),
            ranked.prediction.grade,
            *(format_objective(a.name, a.of_plan(ranked.plan, _step_ps(ranked))) for a in aims),
        )
        for ranked in found.plans
    ]
    heads = ("plan", "step", "slower by", "closed form", "bound", "memory", "grade", *names)
    table(heads, rows)
    if samples:
        steps = ceil(samples / found.training.batch)
        out(f"{samples:,.0f} samples: {steps:,} steps, {format_s(steps * best.step_s)}")
    for name in names:
        out(f"{name} (grade datasheet): {FORMULAS[name]}")
    counts = ", ".join(
        f"{count:,} {name.replace('_', ' ')}"
        for name, count in proof.by_verdict.items()
        if count or name == "fits"
    )
    out()
    out(
        f"certificate: {proof.candidates:,} candidates ({counts}); {proof.simulated:,} simulated,"
        f" {proof.pruned_by_bound:,} pruned by bound, {proof.pruned_by_dominance:,} by dominance"
        f" ({proof.dominance}), {proof.not_reached:,} not reached; {proof.statement}"
    )
    if proof.stopped_by == "tasks":
        out(
            "stopped where more simulations were not worth their work; --budget N simulates N plans"
        )


def _step_ps(ranked: "RankedPlan") -> int:
    from hwprofiles.units import PS_PER_S

    return round(ranked.prediction.step_s * PS_PER_S)


def format_objective(objective: str, value: float) -> str:
    """Format the value of an objective, a step's."""
    from hwprofiles.units import format_bytes, format_s

    formats = {
        "cost": lambda: f"${value:.3g}",
        "energy": lambda: f"{value:.4g} J",
        "devices": lambda: f"{value:.0f} devices",
        "memory": lambda: format_bytes(int(value)),
    }
    return formats[objective]() if objective in formats else format_s(value)
