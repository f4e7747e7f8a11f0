"""What differs between two plan files: inputs, plans, predictions, memory, critical path."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hwprofiles.errors import ModelError
from planner.jsonable import to_jsonable
from planner.model import load_model
from planner.plan import Verdict, verdict
from planner.records import ClusterRecord, PlanFile, plans_sha256
from planner.reprice import Lowered, time_again
from planner.step_facts import path_parts, seconds_by_phase

SECTIONS = ("inputs", "plan", "prediction", "memory", "critical path", "other plans", "search")
MEMORY = ("memory_bytes", "arena_bytes", "live_peak_bytes")
HASH_DIGITS = 16
MISSING = None
"""Value on the side that has no such field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that is not the same in both files."""

    section: str
    field: str
    a: Any
    b: Any


def diff(a: PlanFile, b: PlanFile) -> tuple[Difference, ...]:
    """Return what differs, in the order of ``SECTIONS`` and then of names; nothing when equal."""
    sides = [_facts(a), _facts(b)]
    found = []
    for section in SECTIONS:
        left, right = (side[section] for side in sides)
        found += [
            Difference(section=section, field=name, a=left.get(name), b=right.get(name))
            for name in sorted(left.keys() | right.keys())
            if left.get(name, MISSING) != right.get(name, MISSING)
        ]
    return tuple(found)


def _facts(file: PlanFile) -> dict[str, dict[str, Any]]:
    """Return every field of a plan file by section and by name."""
    rows = [to_jsonable(ranked) for ranked in file.plans]
    best = rows[0]
    inputs = {
        "tool": file.tool,
        "model": file.model,
        "model.sha256": file.model_sha256[:HASH_DIGITS],
        "cluster": file.cluster,
        **dict(_flat(to_jsonable(file.training), "training.")),
        "fixed": to_jsonable(file.fixed),
        **dict(_flat(to_jsonable(file.evidence) or {}, "evidence.")),
    }
    for key, record in file.machine.items():
        inputs |= _profiles(record, f"for {key} workers: " if key else "")
    prediction = best["prediction"]
    return {
        "inputs": inputs,
        "plan": {"label": best["label"], **dict(_flat(best["plan"]))},
        "prediction": dict(_flat({k: v for k, v in prediction.items() if k not in MEMORY})),
        "memory": dict(_flat({k: v for k, v in prediction.items() if k in MEMORY})),
        "critical path": _path(file),
        "other plans": dict(_flat({str(i): row for i, row in enumerate(rows[1:], 1)})),
        "search": dict(_flat(to_jsonable(file.certificate)))
        | {"plans_sha256": file.plans_sha256[:HASH_DIGITS]},
    }


def _profiles(record: ClusterRecord, prefix: str) -> dict[str, Any]:
    """Return a hash of every profile by name, and their figures."""
    data = to_jsonable(record)
    found: dict[str, Any] = {f"{prefix}name": record.name}
    for kind, parts in (("device", record.device_kinds), ("link", record.links)):
        for part in parts:
            fields = to_jsonable(part)
            # several variants of one part are what a setting of one tier alone leaves
            name = f"{prefix}{kind} {part.name}"
            while f"{name} sha256" in found:
                name += "'"
            found[f"{name} sha256"] = _sha256(fields)
            found |= {f"{name} {key}": value for key, value in _flat(fields) if key != "name"}
    for name, ops in data["ops"].items():
        if not ops:
            continue
        found[f"{prefix}measured ops of {name} sha256"] = _sha256(ops)
        found[f"{prefix}measured ops of {name} count"] = len(ops)
    wiring = [data["devices"], data["edges"], data["routing"]]
    found[f"{prefix}wiring sha256"] = _sha256(wiring)
    found[f"{prefix}identity sha256"] = _sha256(data["identity"])
    return found


def _sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def _path(file: PlanFile) -> dict[str, Any]:
    """Return the critical path of the best plan by phase, seconds.

    Nothing where it cannot be told: the model is not known here or has changed, the plans were
    edited and not predicted since, or their input runs ahead so that one step does not say all.
    """
    try:
        model = load_model(file.model)
    except ModelError:
        return {}
    plan, machine = file.plans[0].plan, file.to_machine()
    edited = plans_sha256(file.plans) != file.plans_sha256
    if edited or plan.decode_workers or model.sha256() != file.model_sha256:
        return {}
    if verdict(model, file.training, plan, machine.cluster(plan.workers)) is not Verdict.FITS:
        return {}
    lowered = Lowered.of(model, file.training, plan, machine)
    timeline = time_again(lowered.program.graph)
    return dict(seconds_by_phase(path_parts(lowered.program, timeline)))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of nested objects by their path; lists are values."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            nested = isinstance(inner, Mapping)
            yield from _flat(inner, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", inner)]
