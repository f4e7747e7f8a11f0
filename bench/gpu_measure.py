"""One case of `make gpu-check`, measured in a process of its own: ops, steps, memory, PyTorch."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from gpu_cases import Case
from gpu_twin import twin

from hwprofiles.calibration import OpSample
from hwprofiles.cluster import Cluster
from hwprofiles.clusters import load_cluster
from hwprofiles.costs import CostBook
from hwprofiles.device import Device as Profile
from planner.lower import lower
from planner.machine import Machine
from planner.memory import plan_arena_bytes
from planner.model import ModelGraph, load_model
from planner.opcall import DTYPE_BYTES, OpCall
from planner.opsets import plan_calls
from planner.plan import Plan, Training
from planner.program import Program
from runtime.device import Device, HostDevice
from runtime.op_timer import time_call
from runtime.prefetch import Prefetch
from runtime.record_writer import packed_records
from runtime.records import RecordFile
from runtime.synthetic import write_synthetic
from runtime.trial import Steps, Trial

WARM_UP, BLOCKS, STEPS = 5, 6, 5
"""Steps before the timed ones; blocks that the host waits for, and steps of each."""
MORE, MOST_MORE_S = 70, 8.0
"""Steps beside the timed ones to see memory grow, where they take no longer than that."""
BUCKET_BYTES = 25 << 20
SLOW_S = 2.0
"""An op that takes longer to time, plans of it included, is named in the log."""
Ops = dict[str, dict[str, Any]]
"""By signature: the fields of a sample, and ``issue_s``."""


def question(case: Case) -> tuple[ModelGraph, Training, Plan]:
    """Return what a case asks."""
    ranks = case.ranks
    training = Training(
        batch=case.batch * ranks,
        dtype=case.dtype,
        optimizer=case.optimizer,
        learning_rate=case.learning_rate,
    )
    plan = Plan(
        workers=ranks,
        microbatch=case.batch,
        placement=tuple(range(ranks)),
        algorithm="ring" if ranks > 1 else "none",
        bucket_bytes=BUCKET_BYTES if ranks > 1 else 1 << 40,
        overlap=ranks > 1,
    )
    return load_model(case.model), training, plan


def samples(ops: Mapping[str, Mapping[str, Any]]) -> dict[str, OpSample]:
    """Return measured ops as the cost book takes them."""
    names = [name for name in next(iter(ops.values()), {}) if name != "issue_s"]
    return {key: OpSample(**{name: op[name] for name in names}) for key, op in ops.items()}


def machine_of(case: Case, profile: Profile, ops: Mapping[str, OpSample], system: str) -> Machine:
    """Return ``profile`` with measured ops: alone, or eight with the links of a system."""
    book = {profile.name: CostBook(device=profile, ops=ops)}
    if case.ranks == 1:
        cluster = Cluster.from_edges(profile.name, [profile], [])
    else:
        cluster = load_cluster(case.cluster or system)
        book = {d.name: CostBook(device=d, ops=ops) for d in cluster.devices}
    return Machine(name=cluster.name, clusters={0: cluster}, cost_books={0: book}, identities={})


def bare_profile(name: str, memory_bytes: int, dtype: str) -> Profile:
    """Return a device of which only measured ops are known; no rate of it is ever asked for."""
    return Profile(
        name=name,
        kind="gpu",
        memory_bytes=memory_bytes,
        memory_bytes_per_s=1.0,
        peak_flop_per_s={dtype: 1.0},
        source="measured ops alone",
    )


def measure(
    case: Case,
    device: Device,
    facts: Mapping[str, Any],
    folder: Path,
    known: Ops,
    keep: Callable[[Any], None] = lambda found: None,
) -> Any:
    """Return all that is measured of a case; ``known`` ops are not timed again.

    ``keep`` is given what there is before PyTorch begins, which may not end in time.
    """
    model, training, plan = question(case)
    device.compute_as(case.dtype)
    calls = plan_calls(model, training, plan)
    began = time.perf_counter()
    ops = _ops(device, calls, known)
    calibrated = time.perf_counter()
    say(f"ops took {calibrated - began:.1f} s")
    profile = bare_profile(facts["name"], facts["memory_bytes"], case.dtype)
    machine = machine_of(case, profile, samples(ops), facts["system"])
    program = lower(
        model, training, plan, machine.cluster(plan.workers), machine.books(plan.workers)
    )
    steps, memory = _run(case, device, program, folder)
    stepped = time.perf_counter()
    say(f"steps took {stepped - calibrated:.1f} s, {steps.step_s:.4f} s each")
    found = {
        "ops": {signature: ops[signature] for signature in calls},
        "calibrated_s": calibrated - began,
        "spent_s": {"ops": calibrated - began, "steps": stepped - calibrated, "torch": 0.0},
        "block_s": steps.block_s,
        "step_s": steps.step_s,
        "loop_s": steps.issue_s,
        "loss": steps.loss,
        **memory,
        "torch": None,
    }
    if case.disk or case.ranks > 1:
        return found
    keep(found | {"torch": {"skipped": "did not end in time"}})
    torch = twin(model, training, on_gpu=not device.is_host)
    spent = found["spent_s"] | {"torch": time.perf_counter() - stepped}
    return found | {"torch": torch, "spent_s": spent}


def say(text: str) -> None:
    """Say what is done, for the log of an item that fails."""
    print(text, file=sys.stderr, flush=True)


def _ops(device: Device, calls: Mapping[str, OpCall], known: Ops) -> Ops:
    """Return all ops that are called; a GPU does not know whether code of one is cold."""
    timed = {_warm(signature): op for signature, op in known.items()}
    found: Ops = {}
    for signature, call in calls.items():
        if _warm(signature) not in timed:
            began = time.perf_counter()
            timed[_warm(signature)] = _timed(device, call)
            if (took := time.perf_counter() - began) > SLOW_S:
                say(f"{signature}: took {took:.1f} s")
        found[signature] = timed[_warm(signature)] | {"signature": signature}
    return found


def _warm(signature: str) -> str:
    return signature.replace(",code", "")


def _timed(device: Device, call: OpCall) -> dict[str, Any]:
    found = time_call(device, call)
    return asdict(found.sample) | {"issue_s": found.issue_s}


def _run(
    case: Case, device: Device, program: Program, folder: Path
) -> tuple[Steps, dict[str, Any]]:
    model, training, plan = question(case)
    trial = Trial(model, training, program, device)
    with _records(case, model, plan, device, folder) as fetch:
        trial.begin(fetch)
        trial.run(1, WARM_UP)
        before, taken = device.held_bytes, device.taken
        steps = trial.run(BLOCKS, STEPS)
        in_step = trial.in_step_s()
        if steps.step_s * MORE < MOST_MORE_S:  # memory that grows shows over many steps
            trial.run(1, MORE)
        grown, taken = device.held_bytes - before, device.taken - taken
    assert np.isfinite(steps.loss), f"{case.key}: the loss is {steps.loss}"
    return steps, {
        "in_step": in_step,
        "loop_task_s": None if case.ranks > 1 or device.is_host else trial.loop_task_s(),
        "arena_bytes": trial.worker.arena.size_bytes,
        "arena_predicted_bytes": plan_arena_bytes(model, training, plan),
        "arena_intact": trial.worker.arena.is_intact,
        "held_bytes": before,
        "grown_bytes": grown,
        "taken": taken,
        "steps": trial.done,
    }


@contextmanager
def _records(
    case: Case, model: ModelGraph, plan: Plan, device: Device, folder: Path
) -> Iterator[Any]:
    """Yield what fetches records: from a file, read ahead; or once, for then they are there."""
    if not case.disk:
        there: list[int] = []

        def once(step: int, microbatch: int, raw: Any) -> None:
            if not there:
                device.put(raw, _random(model, plan.microbatch))
                there.append(step)

        yield once
        return
    path = _file(model, folder)
    with RecordFile(path) as records:

        def read(firing: int, out: Any) -> None:
            first = firing * plan.microbatch % (records.count - plan.microbatch + 1)
            records.read_into(first, out)

        shape = (plan.microbatch, model.record_bytes)
        slots = [device.slot(shape) for _ in range(2)]
        with Prefetch(slots, read) as ahead:
            yield ahead.fetch


def _random(model: ModelGraph, samples: int) -> Any:
    """Return records of random samples, or tokens, and labels that there are."""
    rng = np.random.default_rng(0)
    if model.reads_tokens:
        item = DTYPE_BYTES[model.record_dtype]
        tokens = rng.integers(0, model.classes, (samples, model.record_bytes // item))
        return tokens.astype(f"<u{item}").view(np.uint8)
    values = rng.integers(0, 256, (samples, prod(model.record_shape)), np.uint8)
    return packed_records(values, rng.integers(0, model.classes, samples), model.classes)


def _file(model: ModelGraph, folder: Path) -> Path:
    """Return a file of records of the model, written once."""
    name = "x".join(map(str, model.record_shape))
    place = folder / f"records-{name}-{model.classes}"
    done = place / "done"
    if not done.exists():
        place.mkdir(parents=True, exist_ok=True)
        count = max(640, min(4096, (1 << 29) // model.record_bytes))
        write_synthetic(place, model.record_shape, model.classes, count)
        done.touch()
    return next(place.glob("*-train.rec"))


def host_device() -> Device:
    """Return the device of a rehearsal."""
    return HostDevice()
