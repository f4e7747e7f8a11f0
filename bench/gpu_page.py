"""Predictions of what `make gpu-check` has measured, and the table of them; needs no GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from gpu_cases import Case
from gpu_measure import bare_profile, machine_of, question, samples

from hwprofiles.calibration import OpSample
from hwprofiles.fit import fit_curves
from hwprofiles.parts import load_device
from planner.lower import lower
from runtime.trial import predicted_s

HOST_BOUND_FRAC = 0.05
"""A step that issuing lengthens by more than this is called host-bound."""
MOST_MEASURED, MOST_OTHER, LEAST_SPEED = 0.08, 0.20, 0.8
"""What is asked of the medians: error (a), error (b), and speed over PyTorch's for each model."""
Measured = Mapping[Case, Mapping[str, Any] | None]


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
    """Return one case: measured, predicted from its ops, from fitted curves, from the datasheet."""
    model, training, plan = question(case)
    own = samples(found["ops"])
    issue_s = {name: op["issue_s"] for name, op in found["ops"].items()}

    def step_s(profile: Any, ops: Mapping[str, OpSample], system: str) -> tuple[float, float]:
        machine = machine_of(case, profile, ops, system)
        cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
        return predicted_s(lower(model, training, plan, cluster, books), issue_s)

    bare = bare_profile(facts["name"], facts["memory_bytes"], case.dtype)
    free_s, own_s = step_s(bare, own, facts["system"])
    row: dict[str, Any] = {
        "case": case.key,
        "samples_per_s": case.batch / found["step_s"],
        "measured_s": found["step_s"],
        "from_ops_s": own_s,
        "from_ops_error": own_s / found["step_s"] - 1,
        "is_host_bound": own_s > (1 + HOST_BOUND_FRAC) * free_s,
        "without_issue_s": free_s,
        "loop_s": found["loop_s"],
        "arena_bytes": found["arena_bytes"],
        "arena_intact": found["arena_intact"],
        "held_bytes": found["held_bytes"],
        "grown_bytes": found["grown_bytes"],
        "steps": found["steps"],
        "notes": found.get("notes", {}),
        "torch": found["torch"],
    }
    if case.ranks > 1:
        row["words"] = "compute, memory and copies measured; network predicted"
        return row
    others = _others(case, measured)
    if others:
        curves = fit_curves(others.values())
        fitted = replace(bare, curves=curves)
        row |= _against(found, "from_curves", step_s(fitted, {}, ""))
    if facts["profile"]:
        row |= _against(found, "from_datasheet", step_s(load_device(facts["profile"]), {}, ""))
    if found["torch"] and "step_s" in found["torch"]:
        row["speed_of_torch"] = found["torch"]["step_s"] / found["step_s"]
    return row


def _against(found: Mapping[str, Any], name: str, both: tuple[float, float]) -> dict[str, float]:
    return {f"{name}_s": both[1], f"{name}_error": both[1] / found["step_s"] - 1}


def _others(case: Case, measured: Measured) -> dict[str, OpSample]:
    """Return the ops of all other models in the dtype of a case, to which curves are fitted.

    Classes that only this model has keep its own ops of other batches; without any, there are no
    curves.
    """
    own_class = {op["op_class"] for op in ((measured[case] or {}).get("ops") or {}).values()}
    found: dict[str, Any] = {}
    for other, result in measured.items():
        if result is not None and other.dtype == case.dtype and other.model != case.model:
            found |= result["ops"]
    seen = {op["op_class"] for op in found.values()}
    for other, result in measured.items():
        if result is not None and other.dtype == case.dtype and other.batch != case.batch:
            rest = own_class - seen
            found |= {k: op for k, op in result["ops"].items() if op["op_class"] in rest}
    return samples(found) if own_class <= {op["op_class"] for op in found.values()} else {}


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line a claim: what was asked, what was found."""
    lines = []
    for name, words, most in (
        ("from_ops_error", "(a) from measured ops", MOST_MEASURED),
        ("from_curves_error", "(b) from fitted curves", MOST_OTHER),
        ("from_datasheet_error", "(b) from the datasheet", MOST_OTHER),
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
    grown = [row["case"] for row in rows if row["grown_bytes"] or not row["arena_intact"]]
    lines.append(f"memory that grew in the timed steps: {', '.join(grown) or 'none'}")
    return lines


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the page."""
    lines = ["# GPUs", "", "Written by `make gpu-check` from `bench/results/gpu`.", ""]
    for one in found:
        facts = one["facts"]
        named = {k: v for k, v in facts.items() if isinstance(v, str | int) and k != "name"}
        lines += [f"## {facts.get('name', 'unknown')}", ""]
        if facts.get("rehearsal"):
            lines += ["A rehearsal: NumPy on a CPU, toy sizes. Nothing here was run by a GPU.", ""]
        lines += [", ".join(f"{k} {v}" for k, v in named.items() if v != ""), ""]
        lines += [f"Kernels against their NumPy twins: {one['contract']['closing']}.", ""]
        lines += [*(f"- {line}" for line in one["verdicts"]), ""]
        lines += [
            "| case | samples/s | measured | (a) from ops | (b) from curves | (b) from datasheet"
            " | over PyTorch | bound by |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            *map(_line, one["rows"]),
            "",
        ]
        replayed = [row for row in one["rows"] if "words" in row]
        lines += [f"- {row['case']}: {row['words']}." for row in replayed]
    return "\n".join(lines).rstrip() + "\n"


def _line(row: Mapping[str, Any]) -> str:
    def error(name: str) -> str:
        return f"{row[name]:+.1%}" if name in row else "-"

    speed = f"{row['speed_of_torch']:.2f}" if "speed_of_torch" in row else "-"
    return (
        f"| {row['case']} | {row['samples_per_s']:,.0f} | {row['measured_s'] * 1e3:.3f} ms"
        f" | {error('from_ops_error')} | {error('from_curves_error')}"
        f" | {error('from_datasheet_error')} | {speed}"
        f" | {'host' if row['is_host_bound'] else 'device'} |"
    )
