"""Rows from a plan file: the candidates, the certificate, memory, grades, identity, commands."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from hwprofiles.errors import ModelError
from planner.model import load_model
from planner.plan import Training, Verdict
from planner.predict import Prediction
from planner.records import ClusterRecord, PlanFile, RankedPlan
from reports.case import Case
from reports.inputs import input_commands
from reports.tables import Row
from reports.words import CATEGORY_WORDS, GRADE_WORDS

DEFAULT_TOP = 5  # of `foreplan plan --top`
DEFAULT_WARMUP = 10  # of `foreplan execute --warmup`
HASH_DIGITS = 16


def candidate_rows(plans: PlanFile) -> list[Row]:
    """Return the plans of the file, best first."""
    best_s = plans.plans[0].prediction.step_s
    return [_candidate(i, ranked, best_s) for i, ranked in enumerate(plans.plans)]


def _candidate(index: int, ranked: RankedPlan, best_s: float) -> Row:
    plan, prediction = ranked.plan, ranked.prediction
    return {
        "rank": index + 1,
        "label": ranked.label,
        "workers": plan.workers,
        "microbatch": plan.microbatch,
        "algorithm": plan.algorithm,
        "bucket_bytes": plan.bucket_bytes if plan.workers > 1 else None,
        "overlap": plan.overlap,
        "step_s": prediction.step_s,
        "slower_frac": prediction.step_s / best_s - 1,
        "closed_form_s": prediction.closed_form_s,
        "bound_s": prediction.bound_s,
        "samples_per_s": prediction.samples_per_s,
        "arena_bytes": max(prediction.arena_bytes),
        "grade": prediction.grade,
    }


def verdict_rows(plans: PlanFile) -> list[Row]:
    """Return how many candidates got each verdict, and the verdict's sentence."""
    counts = plans.certificate.by_verdict
    total = plans.certificate.candidates
    return [
        {
            "verdict": name.replace("_", " "),
            "meaning": _meaning(name),
            "count": count,
            "frac": count / total if total else 0.0,
        }
        for name, count in counts.items()
    ]


def _meaning(name: str) -> str:
    found = Verdict.__members__.get(name.upper())
    return found.value if found and found is not Verdict.FITS else ""


def search_rows(plans: PlanFile) -> list[Row]:
    """Return what became of the candidates that fit."""
    proof = plans.certificate
    return [
        {"fate": "simulated", "count": proof.simulated, "why": f"engine: {proof.engine}"},
        {
            "fate": "pruned by bound",
            "count": proof.pruned_by_bound,
            "why": "their closed form, a lower limit, is no faster than the best",
        },
        {
            "fate": "pruned by dominance",
            "count": proof.pruned_by_dominance,
            "why": "dropped by a named rule",
        },
        {
            "fate": "not reached",
            "count": proof.not_reached,
            "why": f"search ended by: {proof.stopped_by}",
        },
    ]


def memory_rows(prediction: Prediction) -> list[Row]:
    """Return the arena of rank 0 by category, in arena order."""
    total = sum(prediction.memory_bytes.values()) or 1
    return [
        {
            "category": name,
            "meaning": CATEGORY_WORDS.get(name, ""),
            "bytes": count,
            "frac": count / total,
        }
        for name, count in prediction.memory_bytes.items()
    ]


def arena_rows(prediction: Prediction) -> list[Row]:
    """Return arena, live peak and waste of every rank."""
    pairs = zip(prediction.arena_bytes, prediction.live_peak_bytes, strict=True)
    return [
        {"rank": rank, "arena_bytes": arena, "live_peak_bytes": live, "waste": arena / live}
        for rank, (arena, live) in enumerate(pairs)
    ]


def grade_rows(prediction: Prediction) -> list[Row]:
    """Return the share of the critical path by grade."""
    return [
        {"grade": name, "frac": share, "meaning": GRADE_WORDS.get(name, "")}
        for name, share in prediction.grade_frac.items()
    ]


def machine_record(case: Case) -> ClusterRecord | None:
    """Return what the subject's prediction rests on."""
    machine = case.plans.machine
    return machine.get(case.subject.plan.workers, machine.get(0))


def source_rows(case: Case) -> list[Row]:
    """Return where the figures of each device and link of the cluster come from."""
    record = machine_record(case)
    if record is None:
        return []
    counts = {name: record.devices.count(name) for name in record.devices}
    devices = [
        {"part": d.name, "kind": "device", "count": counts.get(d.name, 0), "source": d.source}
        for d in record.device_kinds
    ]
    used = [link for _, _, link in record.edges]
    links = [
        {"part": link.name, "kind": "link", "count": used.count(i), "source": link.source}
        for i, link in enumerate(record.links)
    ]
    return [*devices, *links]


def environment_facts(case: Case) -> list[tuple[str, Any]]:
    """Return hashes and versions, and what the measurements were taken on."""
    plans, prediction = case.plans, case.subject.prediction
    pairs: list[tuple[str, Any]] = [
        ("tool", plans.tool),
        ("file schema", plans.schema),
        ("model sha256", plans.model_sha256[:HASH_DIGITS]),
        ("plans sha256", plans.plans_sha256[:HASH_DIGITS]),
        ("task graph sha256", prediction.graph_sha256[:HASH_DIGITS]),
        ("tasks of a step", f"{prediction.tasks:,}"),
    ]
    if case.measured:
        pairs += _flat(case.measured.environment)
    elif (record := machine_record(case)) is not None:
        pairs += _flat(record.identity)
    return pairs


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name.replace('_', ' ') if name.islower() else name}", str(value)


def data_command(plans: PlanFile) -> str:
    """Return the command that writes the records that a plan trains on."""
    try:
        return load_model(plans.model).data_command
    except ModelError:  # a model file that is not here
        return "foreplan data synthetic --help"


def command_lines(case: Case) -> list[str]:
    """Return the commands that make this page again, in order."""
    plans = case.plans
    asked = [plans.model, plans.cluster, "--batch", str(plans.training.batch)]
    for field in fields(Training):
        value = getattr(plans.training, field.name)
        if field.name not in ("batch", "source") and value != field.default:
            asked += [f"--{field.name.replace('_', '-')}", str(value)]
    if len(plans.plans) != DEFAULT_TOP:
        asked += ["--top", str(len(plans.plans))]
    calibrate = ["foreplan hw calibrate"] if plans.cluster == "local" else []
    planned = [f"foreplan plan {shlex.join(asked)} -o plan.json"]
    planned += input_commands(case.subject.plan, plans.training.source)
    if case.measured is None:
        return [*calibrate, *planned, "foreplan report plan.json -o report.html"]
    run = ["foreplan execute plan.json", *([f"--pick {case.pick}"] if case.pick else [])]
    for execution in case.measured.executions[:1]:
        warmup = len(execution.losses) - execution.steps
        run += [f"--steps {execution.steps}"]
        run += [f"--warmup {warmup}"] if warmup != DEFAULT_WARMUP else []
    if case.measured.check:
        gate = case.measured.check.gate
        run += ["--check", *([f"--gate {gate:g}"] if gate != 1 else [])]
    return [
        *calibrate,
        *planned,
        data_command(plans),
        f"{' '.join(run)} -o measurement.json",
        "foreplan report plan.json measurement.json -o report.html",
    ]
