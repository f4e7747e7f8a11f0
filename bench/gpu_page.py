"""Predictions of what `make gpu-check` has measured, and which claims hold; needs no GPU."""

from collections.abc import Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any

from gpu_cases import Case
from gpu_measure import bare_profile, machine_of, question, samples

from hwprofiles.calibration import OpSample
from hwprofiles.cluster import Cluster
from hwprofiles.device import Device as Profile
from hwprofiles.devicefit import fit_device
from hwprofiles.parts import load_device
from planner.lower import lower
from planner.opsets import plan_calls
from planner.program import ComputeTask, Program
from planner.published.fitted import USUAL, fitted_cluster
from runtime.trial import predicted_s

HOST_BOUND_FRAC = 0.05
"""A step that issuing lengthens by more than this is called host-bound."""
MOST_CALIBRATED_S = 180
MEMORY = ("arena_bytes", "arena_predicted_bytes", "arena_intact", "held_bytes", "grown_bytes")
MEMORY += ("taken",)
"""What is said of the memory of a case: of the device, and how often steps asked for some."""
MOST_MEASURED, MOST_OTHER, LEAST_SPEED = 0.08, 0.20, 0.8
"""What is asked of the medians: error (a), error (b), and speed over PyTorch's for each model."""
Measured = Mapping[Case, Mapping[str, Any] | None]


def unknown_ops(case: Case, found: Mapping[str, Any] | None) -> list[str]:
    """Return the ops of a case that were not measured, though the case was."""
    if found is None:
        return []
    return sorted(set(plan_calls(*question(case))) - set(found["ops"]))


def results(
    facts: Mapping[str, Any], contract: Mapping[str, Any], measured: Measured
) -> dict[str, Any]:
    """Return all rows with their predictions, and what of the claims holds."""
    rows = [
        _row(case, found, facts, measured) for case, found in measured.items() if found is not None
    ]
    return {
        "facts": dict(facts),
        "contract": dict(contract),
        "rows": rows,
        "verdicts": [] if facts.get("rehearsal") else verdicts(rows),
    }


def _row(
    case: Case, found: Mapping[str, Any], facts: Mapping[str, Any], measured: Measured
) -> dict[str, Any]:
    """Return one case: measured, and predicted from its ops, from curves, and unmeasured."""
    model, training, plan = question(case)
    own = samples(found["ops"])
    loop_task_s = _loop_task_s(measured)
    issue_s = {name: spent + loop_task_s for name, spent in _issue_s(found).items()}

    def lowered(profile: Profile, ops: Mapping[str, OpSample], system: str) -> Program:
        machine = machine_of(case, profile, ops, system)
        cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
        return lower(model, training, plan, cluster, books)

    bare = bare_profile(facts["name"], facts["memory_bytes"], case.dtype)
    program = lowered(bare, own, facts["system"])
    free_s, own_s = predicted_s(program, issue_s)
    fired = [
        info.call.signature
        for info in program.tasks
        if isinstance(info, ComputeTask) and info.rank == 0
    ]
    row: dict[str, Any] = {
        "case": case.key,
        "samples_per_s": case.batch / found["step_s"],
        "measured_s": found["step_s"],
        "from_ops_s": own_s,
        "from_ops_error": own_s / found["step_s"] - 1,
        "is_host_bound": own_s > (1 + HOST_BOUND_FRAC) * free_s,
        "without_issue_s": free_s,
        "issue_s": sum(issue_s[signature] for signature in fired),
        "loop_s": found["loop_s"],
        "loop_task_s": loop_task_s,
        "calibrated_s": found["calibrated_s"],
        **{name: found[name] for name in MEMORY},
        "steps": found["steps"],
        "notes": found.get("notes", {}),
        "torch": found["torch"],
    }
    if case.ranks > 1:
        row["words"] = "compute, memory and copies measured; network predicted"
        return row
    if found["torch"] and "step_s" in found["torch"]:
        row["speed_of_torch"] = found["torch"]["step_s"] / found["step_s"]
    if not facts["profile"]:
        return row
    planned = _planned(facts["profile"])
    others = _others(case, measured)
    if others:
        known, work_classes = samples(_ops(others)).values(), _work_classes(tuple(others))
        fitted = lowered(fit_device(planned, known, work_classes), {}, "")
        usual_s = median(_issue_of_others(case, measured)) + loop_task_s
        row |= _against(found, "from_curves", predicted_s(fitted, dict.fromkeys(fired, usual_s))[1])
    # which says nothing of the host
    row |= _against(found, "from_datasheet", predicted_s(lowered(planned, {}, ""), {})[0])
    return row


def _against(found: Mapping[str, Any], name: str, step_s: float) -> dict[str, float]:
    return {f"{name}_s": step_s, f"{name}_error": step_s / found["step_s"] - 1}


def _issue_s(found: Mapping[str, Any]) -> dict[str, float]:
    """Return what the host takes to issue each op, in the order of a step where that is known."""
    known = found.get("in_step") or found["ops"]
    return {name: op["issue_s"] for name, op in known.items()}


def _issue_of_others(case: Case, measured: Measured) -> list[float]:
    """Return what the host takes for each op of all other models, or else of other batches."""
    others = {one: found for one, found in measured.items() if found and one != case}
    foreign = {one: found for one, found in others.items() if one.model != case.model}
    return [s for found in (foreign or others).values() for s in _issue_s(found).values()]


def _loop_task_s(measured: Measured) -> float:
    """Return what the loop takes for a task beside issuing it, the median over cases."""
    found = [one.get("loop_task_s") for one in measured.values() if one is not None]
    return median([seconds for seconds in found if seconds is not None] or [0.0])


@cache
def _planned(profile: str) -> Profile:
    """Return the device as ``foreplan plan`` has one that nobody has measured."""
    device = load_device(profile)
    cluster, _ = fitted_cluster(Cluster.from_edges(device.name, [device], []), USUAL)
    return cluster.devices[0]


def _others(case: Case, measured: Measured) -> dict[Case, Mapping[str, Any]]:
    """Return what was measured of all other models in the dtype of a case."""
    return {
        other: found
        for other, found in measured.items()
        if found and other.dtype == case.dtype and other.model != case.model
    }


def _ops(measured: Mapping[Case, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the ops of all cases."""
    return {name: op for found in measured.values() for name, op in found["ops"].items()}


@cache
def _work_classes(cases: tuple[Case, ...]) -> dict[str, str]:
    """Return the class of work of each op of some cases."""
    calls = [call for case in cases for call in plan_calls(*question(case)).values()]
    return {call.signature: call.work_class for call in calls}


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line a claim: what was asked, what was found."""
    lines = []
    for name, words, most in (
        ("from_ops_error", "(a) from measured ops", MOST_MEASURED),
        ("from_curves_error", "(b) from fitted curves", MOST_OTHER),
        ("from_datasheet_error", "(b) of a GPU that nobody measured", MOST_OTHER),
    ):
        errors = [abs(row[name]) for row in rows if name in row]
        if errors:
            held = "holds" if median(errors) <= most else "fails"
            lines.append(
                f"error {words}: median {median(errors):.1%} of {len(errors)} rows, asked"
                f" {most:.0%}: {held}"
            )
    speeds = {row["case"]: row["speed_of_torch"] for row in rows if "speed_of_torch" in row}
    if speeds:
        case, least = min(speeds.items(), key=lambda pair: pair[1])
        held = "holds" if least >= LEAST_SPEED else "fails"
        lines.append(
            f"speed over PyTorch's: least {least:.2f} ({case}), median"
            f" {median(speeds.values()):.2f}, asked {LEAST_SPEED}: {held}"
        )
    spent_s = sum(row["calibrated_s"] for row in rows)
    held = "holds" if spent_s <= MOST_CALIBRATED_S else "fails"
    lines.append(f"calibration: {spent_s:.0f} s, asked {MOST_CALIBRATED_S} s: {held}")
    for words, odd in (
        ("arena other than predicted, or written past", _arena_is_odd),
        ("memory that grew in the timed steps", lambda row: row["grown_bytes"]),
        ("steps that asked for memory", lambda row: row["taken"]),
    ):
        lines.append(f"{words}: {', '.join(row['case'] for row in rows if odd(row)) or 'none'}")
    bound = [row["case"] for row in rows if row["is_host_bound"]]
    lines.append(f"predicted to be bound by the host: {', '.join(bound) or 'none'}")
    return lines


def _arena_is_odd(row: Mapping[str, Any]) -> bool:
    return row["arena_bytes"] != row["arena_predicted_bytes"] or not row["arena_intact"]
