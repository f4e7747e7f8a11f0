"""``plan``: search the placements of a model on a cluster. ``estimate``: price one given plan."""

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import (
    USUAL_SOFTWARE,
    Batch,
    BatchOr32,
    Beta1,
    Beta2,
    Calibrate,
    Decay,
    Epsilon,
    Json,
    Momentum,
    Optimizer,
    Quiet,
    Rate,
    Seed,
    Seq,
    Software,
    UsualDtype,
    amount,
    writable,
)
from foreplan.console import note, out, progress, show_json, table
from foreplan.shifts import show_shifts

if TYPE_CHECKING:
    from planner.evidence import Evidence
    from planner.machine import Machine
    from planner.plan import Plan
    from planner.records import PlanFile

INTERRUPTED = 130
USUAL_SAMPLES = 32
"""Of a device in a step, where no batch is named."""


def plan(
    model: Annotated[
        str,
        typer.Argument(
            help="A built-in model (see `foreplan models list`), or a .toml or .onnx file."
        ),
    ],
    cluster: Annotated[str, typer.Argument(help="local, a shipped cluster, or a TOML file.")],
    batch: BatchOr32 = None,
    seq: Seq = None,
    *,
    top: Annotated[int, typer.Option(min=1, help="Plans to keep and prove in order.")] = 5,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Most simulations; default: a good second of them, by size."),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(help="time, throughput, cost, energy, devices (fewest) or memory."),
    ] = "time",
    pareto: Annotated[
        str, typer.Option(help="Two objectives, e.g. time,cost: plans beaten in both by none.")
    ] = "",
    fix: Annotated[
        list[str] | None,
        typer.Option(help="Fix a choice, e.g. algorithm=ring, workers=2, overlap=off."),
    ] = None,
    most: Annotated[
        list[str] | None,
        typer.Option("--max", help="Limit a choice, e.g. workers=8, memory=12GB, time=90ms."),
    ] = None,
    constraints: Annotated[
        Path | None, typer.Option(help="A TOML file with tables [fix] and [max].")
    ] = None,
    samples: Annotated[
        float, typer.Option(min=0, help="Samples to train on; for totals and --deadline.")
    ] = 0,
    deadline: Annotated[
        str, typer.Option(help="Time in which --samples must be done, e.g. 2h.")
    ] = "",
    collectives: Annotated[
        str,
        typer.Option(
            help="Who chooses how gradients are exchanged: best (by simulation), or nccl (by that"
            " library's tables, bucket by bucket)."
        ),
    ] = "best",
    software: Software = USUAL_SOFTWARE,
    calibrate: Calibrate = None,
    dtype: UsualDtype = None,
    optimizer: Optimizer = "sgd",
    learning_rate: Rate = None,
    momentum: Momentum = 0.9,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
    weight_decay: Decay = 0.01,
    seed: Seed = 0,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=writable, help="Where to write.")
    ] = Path("plan.json"),
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Search all plans of MODEL on CLUSTER; write the best with a certificate."""
    import foreplan
    from foreplan.constraints import constraints as read_constraints
    from foreplan.course import Course
    from foreplan.machines import load_machine
    from foreplan.training import training_of
    from planner.model import load_model, with_tokens
    from planner.records import write_record

    usual: list[str] = []  # told when all that was asked has been read
    if batch is None or dtype is None:
        machine = load_machine(cluster)
        dtype = dtype or _usual_dtype(machine, usual)
        batch = batch or _usual_batch(machine, usual)
    training = training_of(
        optimizer,
        learning_rate,
        batch=batch,
        dtype=dtype,
        momentum=momentum,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        weight_decay=weight_decay,
        seed=seed,
    )
    limits = [*(most or []), *_deadline(deadline, samples, batch)]
    asked = read_constraints([*(fix or []), *_library(collectives, fix or [])], limits, constraints)
    pair = _pair(pareto, objective)
    model = with_tokens(model, seq)
    load_model(model)
    for text in usual:
        note(text, quiet=quiet)
    course = Course()
    with progress("planning", quiet=quiet) as step:

        def tell(stage: str, done: int, total: int, best: float | None) -> None:
            aim = pair[0] if pair else objective
            text = f"best {_format(aim, best)}" if best is not None else stage
            step(*course.counts(stage, done, total), text)

        found = foreplan.plan(
            model,
            cluster,
            training,
            top=top,
            budget=budget,
            constraints=asked,
            objective=objective,
            pareto=pair,
            software=software,
            calibrate=calibrate,
            progress=tell,
        )
    write_record(output, found)
    if json:
        show_json(found)
    else:
        show_plans(found, samples)
    note(f"wrote {output}", quiet=quiet or json)
    return INTERRUPTED if found.certificate.stopped_by == "interrupt" else 0


def _usual_batch(machine: "Machine", usual: list[str]) -> int:
    """Return the samples of a step where none are named, and add that to what is told."""
    batch = USUAL_SAMPLES * machine.devices
    usual.append(f"batch {batch}: {USUAL_SAMPLES} samples a device; --batch sets it")
    return batch


def _usual_dtype(machine: "Machine", usual: list[str]) -> str:
    """Return the dtype to train in where none is named; add it to what is told if not float32."""
    found = machine.cluster(machine.devices).devices[0].usual_dtype()
    if found != "float32":
        usual.append(f"dtype {found}: the devices have no rate for float32; --dtype sets it")
    return found


def _library(name: str, fix: list[str]) -> list[str]:
    """Return the choice of a library as a choice of the algorithm."""
    from hwprofiles.errors import PlanError
    from planner.policies.base import BEST, policy

    policy(name)
    if name == BEST:
        return []
    if told := [text for text in fix if text.startswith("algorithm=")]:
        raise PlanError(
            f"--collectives {name}: expected that nobody else chooses the algorithm, got --fix"
            f" {told[0]}; leave one of them out"
        )
    return [f"algorithm={name}"]


def _deadline(text: str, samples: float, batch: int) -> list[str]:
    """Return a deadline as the limit of a step's time."""
    from hwprofiles.errors import PlanError
    from hwprofiles.units import parse_s

    if not text:
        return []
    if not samples:
        raise PlanError("--deadline: expected the number of samples beside it; give --samples")
    seconds = amount("--deadline", text, parse_s)
    return [f"time={seconds / ceil(samples / batch):.12f}s"]


def _pair(text: str, objective: str) -> tuple[str, str] | None:
    """Read two objectives, which take the place of one."""
    from hwprofiles.errors import PlanError

    if not text:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(set(names)) != 2 or len(names) != 2:
        raise PlanError(f"--pareto {text!r}: expected two objectives such as time,cost; name two")
    if objective != "time":
        raise PlanError(
            f"--pareto {text}: expected no other objective, got --objective {objective}; leave one"
            " of them out"
        )
    return names[0], names[1]


def _format(objective: str, value: float) -> str:
    """Format the value of an objective, a step's."""
    from hwprofiles.units import format_bytes, format_s

    formats = {
        "cost": lambda: f"${value:.3g}",
        "energy": lambda: f"{value:.4g} J",
        "devices": lambda: f"{value:.0f} devices",
        "memory": lambda: format_bytes(int(value)),
    }
    return formats[objective]() if objective in formats else format_s(value)


def estimate(
    model: Annotated[str, typer.Argument(help="A built-in model, or a .toml or .onnx file.")],
    cluster: Annotated[str, typer.Argument(help="local, a shipped cluster, or a TOML file.")],
    batch: Batch,
    seq: Seq = None,
    workers: Annotated[int, typer.Option(min=1, help="Data-parallel workers.")] = 1,
    microbatch: Annotated[
        int | None, typer.Option(min=1, help="Samples of one pass; default: all of a worker's.")
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(help="How gradients are exchanged, e.g. ring, star or tree; nccl: as NCCL."),
    ] = "ring",
    bucket: Annotated[str, typer.Option(help="Bucket size, e.g. 64KiB; default: one bucket.")] = "",
    overlap: Annotated[bool, typer.Option(help="Exchange during the backward pass.")] = False,
    software: Software = USUAL_SOFTWARE,
    calibrate: Calibrate = None,
    dtype: UsualDtype = None,
    optimizer: Optimizer = "sgd",
    json: Json = False,
) -> None:
    """Price one given plan: bound, closed form and simulation."""
    from foreplan.machines import informed_machine
    from foreplan.training import training_of
    from hwprofiles.errors import PlanError
    from hwprofiles.units import format_bytes, format_s, parse_bytes
    from planner.algorithms import algorithm as collective
    from planner.algorithms import plan_algorithm
    from planner.library_choice import is_policy, library_algorithm
    from planner.model import load_model, with_tokens
    from planner.opcall import DTYPE_BYTES
    from planner.plan import Plan, Verdict, verdict
    from planner.predict import predict

    machine = informed_machine(cluster, software, calibrate)
    usual: list[str] = []
    dtype = dtype or _usual_dtype(machine, usual)
    for text in usual:
        note(text, quiet=json)
    training = training_of(optimizer, batch=batch, dtype=dtype)
    if is_policy(algorithm):
        algorithm = library_algorithm(algorithm, machine, workers, dtype)
    else:
        plan_algorithm("--algorithm", algorithm)
        collective(algorithm).steps(workers)
    graph = load_model(with_tokens(model, seq))
    whole = graph.parameter_count * DTYPE_BYTES[dtype]
    chosen = Plan(
        workers=workers,
        microbatch=microbatch or max(1, batch // workers),
        placement=tuple(range(workers)),
        algorithm=algorithm if workers > 1 else "none",
        bucket_bytes=amount("--bucket", bucket, parse_bytes) if bucket else whole,
        overlap=overlap and workers > 1,
    )
    found = verdict(graph, training, chosen, machine.cluster(workers))
    if found is not Verdict.FITS:
        raise PlanError(f"plan {chosen.label!r}: {found.value}; change the options")
    prediction, _, _ = predict(graph, training, chosen, machine)
    if json:
        show_json(prediction)
        return
    out(
        f"{graph.name}, batch {batch}, on {cluster}: {workers} workers, microbatch"
        f" {chosen.microbatch}"
    )
    show_evidence(machine.evidence)
    least_s, most_s = prediction.interval_s
    rows = [
        ("bound", format_s(prediction.bound_s)),
        ("closed form", format_s(prediction.closed_form_s)),
        ("simulated", format_s(prediction.step_s)),
        ("arena, fullest worker", format_bytes(max(prediction.arena_bytes))),
        ("grade", prediction.grade),
        ("interval", f"{format_s(least_s)} to {format_s(most_s)}"),
    ]
    table(("a step", ""), rows)


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
    from hwprofiles.units import PS_PER_S, format_bytes, format_frac, format_s
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
            *(
                _format(a.name, a.of_plan(ranked.plan, round(ranked.prediction.step_s * PS_PER_S)))
                for a in aims
            ),
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
            "stopped by the size of the programs; --budget N simulates N plans, whatever their size"
        )
