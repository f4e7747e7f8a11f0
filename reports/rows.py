"""Rows from a plan file: candidates, arenas, sources, identity, commands."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from hwprofiles.errors import ModelError
from planner.model import load_model
from planner.plan import Training, Verdict
from planner.published.fitted import DATASHEET, USUAL
from planner.records import PlanFile, RankedPlan
from planner.space import SLOTS
from reports.aims import aims as aims_of
from reports.case import Case, Cases
from reports.inputs import input_commands
from reports.tables import Row

DEFAULT_TOP = 5  # of `foreplan plan --top`
DEFAULT_WARMUP = 10  # of `foreplan execute --warmup`
HASH_DIGITS = 16
CHOICES = ("workers", "microbatch", "algorithm", "bucket_bytes", "overlap", *SLOTS)
"""Fields of a plan that the command line can fix."""


def candidate_rows(case: Case, aims: Iterable[str] = ()) -> list[Row]:
    """Return the plans of the file, best first, and what each takes of ``aims``."""
    best_s = case.best.prediction.step_s
    known = {aim.name: aim for aim in aims_of(case.plans, aims)}
    return [
        {
            **_candidate(case.name, i, ranked, best_s),
            **{n: known[n].per_million(ranked) if n in known else None for n in aims},
        }
        for i, ranked in enumerate(case.plans.plans)
    ]


def _candidate(case: str, index: int, ranked: RankedPlan, best_s: float) -> Row:
    plan, prediction = ranked.plan, ranked.prediction
    return {
        "case": case,
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


def verdict_meaning(name: str) -> str:
    """Return the sentence of a verdict; none for that of the candidates that can be."""
    found = Verdict.__members__.get(name.upper())
    return found.value if found and found is not Verdict.FITS else ""


def arena_rows(case: Case) -> list[Row]:
    """Return arena, live peak and waste of every rank."""
    prediction = case.subject.prediction
    pairs = zip(prediction.arena_bytes, prediction.live_peak_bytes, strict=True)
    return [
        {
            "case": case.name,
            "rank": rank,
            "arena_bytes": arena,
            "live_peak_bytes": live,
            "waste": arena / live,
        }
        for rank, (arena, live) in enumerate(pairs)
    ]


def scaling_rows(case: Case) -> list[Row]:
    """Return throughput, and its share of that many times one worker's, where that is known."""
    points, batch = case.curve, case.plans.training.batch
    alone_s = next((point.step_s for point in points if point.workers == 1), None)
    measured = case.measured
    return [
        {
            "plan": case.name,
            "workers": point.workers,
            "step_s": point.step_s,
            "samples_per_s": batch / point.step_s,
            "speedup": alone_s / point.step_s if alone_s else None,
            "efficiency_frac": alone_s / point.step_s / point.workers if alone_s else None,
            "measured_s": measured.step_s
            if measured and point.workers == case.subject.plan.workers
            else None,
        }
        for point in points
    ]


def source_rows(case: Case) -> list[Row]:
    """Return where the figures of each device and link of the cluster come from."""
    record = case.machine
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
    elif (record := case.machine) is not None:
        pairs += _flat(record.identity)
    return pairs


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}: ")
        elif str(value):
            yield f"{prefix}{name.replace('_', ' ') if name.islower() else name}", str(value)


def data_command(plans: PlanFile) -> str:
    """Return the command that writes the records that a plan trains on."""
    try:
        return load_model(plans.model).data_command
    except ModelError:  # a model file that is not here
        return "foreplan data synthetic --help"


def command_lines(case: Case, stem: str = "") -> list[str]:
    """Return the commands that make a case again, in order; its page is made by ``report_line``.

    ``stem`` is the name of its files in a comparison. A plan file that does not say what its search
    was held to is then planned again by the plan that it found.
    """
    plans, plan = case.plans, case.subject.plan
    cluster, *changes = plans.cluster.split(" with ")
    asked = [plans.model, cluster, "--batch", str(plans.training.batch)]
    for field in fields(Training):
        value = getattr(plans.training, field.name)
        if field.name not in ("batch", "source") and value != field.default:
            asked += [f"--{field.name.replace('_', '-')}", str(value)]
    if len(plans.plans) != DEFAULT_TOP:
        asked += ["--top", str(len(plans.plans))]
    fixed = plans.fixed or {}
    if plans.fixed is None and stem:
        fixed = {name: getattr(plan, name) for name in CHOICES}
    asked += [word for choice in fixed.items() for word in ("--fix", _choice(*choice))]
    asked += [word for limit in plans.most.items() for word in ("--max", _limit(*limit))]
    asked += _priced_by(plans)
    objective = plans.certificate.objective
    if " and " in objective:
        asked += ["--pareto", objective.replace(" and ", ",")]
    elif objective != "time":
        asked += ["--objective", objective]
    local, _, backend = cluster.partition(":")
    by = f" --backend {backend}" if backend else ""
    lines = [f"foreplan hw calibrate{by}"] if local == "local" else []
    lines.append(f"foreplan plan {shlex.join(asked)} -o {stem or 'plan'}.json")
    lines += [_change(plans, texts, f"{stem or 'plan'}.json") for texts in changes]
    lines += input_commands(plan, plans.training.source, f"{stem or 'plan'}.json")
    if case.measured is None:
        return lines
    run = [f"foreplan execute {stem or 'plan'}.json"]
    run += [f"--pick {case.pick}"] if case.pick else []
    for execution in case.measured.executions[:1]:
        warmup = len(execution.losses) - execution.steps
        run += [f"--steps {execution.steps}"]
        run += [f"--warmup {warmup}"] if warmup != DEFAULT_WARMUP else []
    if case.measured.check:
        gate = case.measured.check.gate
        run += ["--check", *([f"--gate {gate:g}"] if gate != 1 else [])]
    output = f"{stem}-measurement" if stem else "measurement"
    return [*lines, data_command(plans), f"{' '.join(run)} -o {output}.json"]


def _priced_by(plans: PlanFile) -> list[str]:
    """Return the options that say how devices were priced, and when the search stopped."""
    proof, known = plans.certificate, plans.evidence
    asked = [] if proof.stopped_by != "budget" else ["--budget", str(proof.simulated)]
    if plans.cluster.partition(":")[0] == "local":
        return asked
    software = known.software if known else DATASHEET
    return [*asked, "--software", software] if software not in ("", USUAL) else asked


def _change(plans: PlanFile, texts: str, file: str) -> str:
    """Return the command that changed the hardware of ``file``."""
    asked = [word for text in texts.split(", ") for word in ("--set", text)]
    asked += ["--replan"] if plans.certificate.stopped_by != "what-if" else []
    return f"foreplan what-if {file} {shlex.join(asked)} -o {file}"


def _choice(name: str, value: int | bool | str) -> str:
    """Return a choice as ``--fix`` reads it."""
    return f"{name}={'on' if value else 'off'}" if name == "overlap" else f"{name}={value}"


def _limit(name: str, value: float) -> str:
    """Return a limit as ``--max`` reads it."""
    if name == "step_s":
        return f"time={value:.12f}s"
    return f"memory={value:.0f}B" if name == "memory_bytes" else f"{name}={value:.0f}"


def stems(cases: Cases) -> list[str]:
    """Return names of files for the cases: none for one alone."""
    if len(cases) == 1:
        return [""]
    return [re.sub("[^A-Za-z0-9]+", "-", case.name).strip("-") or "plan" for case in cases]


def report_line(cases: Cases) -> str:
    """Return the command that makes the page from the files of ``command_lines``."""
    files = []
    for case, stem in zip(cases, stems(cases), strict=True):
        files.append(f"{stem or 'plan'}.json")
        if case.measured:
            files.append(f"{stem}-measurement.json" if stem else "measurement.json")
    return f"foreplan report {' '.join(files)} -o report.html"
