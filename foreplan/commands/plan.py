"""``plan``: search the placements of a model on a cluster. ``estimate``: price one given plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import (
    Batch,
    Beta1,
    Beta2,
    Decay,
    Dtype,
    Epsilon,
    Json,
    Momentum,
    Optimizer,
    Quiet,
    Rate,
    Seed,
    Seq,
    writable,
)
from foreplan.console import note, out, progress, show_json, table

if TYPE_CHECKING:
    from planner.records import PlanFile

INTERRUPTED = 130


def plan(
    model: Annotated[
        str,
        typer.Argument(
            help="A built-in model (see `foreplan models list`), or a .toml or .onnx file."
        ),
    ],
    cluster: Annotated[str, typer.Argument(help="local, a shipped cluster, or a TOML file.")],
    batch: Batch,
    seq: Seq = None,
    *,
    top: Annotated[int, typer.Option(min=1, help="Plans to keep and prove in order.")] = 5,
    budget: Annotated[int, typer.Option(min=1, help="Most simulations.")] = 1000,
    fix: Annotated[
        list[str] | None,
        typer.Option(help="Fix a choice, e.g. algorithm=ring, workers=2, overlap=off."),
    ] = None,
    dtype: Dtype = "float32",
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
    from foreplan.training import training_of
    from hwprofiles.units import format_s
    from planner.model import with_tokens
    from planner.records import write_record

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
    with progress("simulating", quiet=quiet) as step:
        found = foreplan.plan(
            with_tokens(model, seq),
            cluster,
            training,
            top=top,
            budget=budget,
            fixed=fixed_fields(fix or []),
            progress=lambda done, most, best_s: step(done, most, f"best {format_s(best_s)}"),
        )
    write_record(output, found)
    if json:
        show_json(found)
    else:
        show_plans(found)
    note(f"wrote {output}", quiet=quiet or json)
    return INTERRUPTED if found.certificate.stopped_by == "interrupt" else 0


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
        str, typer.Option(help="How gradients are exchanged, e.g. ring, star or tree.")
    ] = "ring",
    bucket: Annotated[str, typer.Option(help="Bucket size, e.g. 64KiB; default: one bucket.")] = "",
    overlap: Annotated[bool, typer.Option(help="Exchange during the backward pass.")] = False,
    dtype: Dtype = "float32",
    optimizer: Optimizer = "sgd",
    json: Json = False,
) -> None:
    """Price one given plan: bound, closed form and simulation."""
    from foreplan.machines import load_machine
    from foreplan.training import training_of
    from hwprofiles.errors import PlanError
    from hwprofiles.registry import lookup
    from hwprofiles.units import format_bytes, format_s, parse_bytes
    from planner.collectives.base import algorithm_names
    from planner.model import load_model, with_tokens
    from planner.opcall import DTYPE_BYTES
    from planner.plan import Plan, Verdict, verdict
    from planner.predict import predict

    training = training_of(optimizer, batch=batch, dtype=dtype)
    lookup("--algorithm", algorithm, algorithm_names(), error=PlanError)
    graph, machine = load_model(with_tokens(model, seq)), load_machine(cluster)
    whole = graph.parameter_count * DTYPE_BYTES[dtype]
    chosen = Plan(
        workers=workers,
        microbatch=microbatch or max(1, batch // workers),
        placement=tuple(range(workers)),
        algorithm=algorithm if workers > 1 else "none",
        bucket_bytes=parse_bytes(bucket) if bucket else whole,
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
    rows = [
        ("bound", format_s(prediction.bound_s)),
        ("closed form", format_s(prediction.closed_form_s)),
        ("simulated", format_s(prediction.step_s)),
        ("arena, fullest worker", format_bytes(max(prediction.arena_bytes))),
        ("grade", prediction.grade),
    ]
    table(("a step", ""), rows)


def fixed_fields(texts: list[str]) -> dict[str, int | bool | str]:
    """Read ``field=value`` constraints on a plan."""
    from hwprofiles.errors import PlanError
    from hwprofiles.registry import lookup
    from planner.collectives.base import algorithm_names

    found: dict[str, int | bool | str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name in ("workers", "microbatch", "bucket_bytes") and value.isdecimal():
            found[name] = int(value)
        elif name == "overlap" and value in ("on", "off"):
            found[name] = value == "on"
        elif name == "algorithm" and value:
            known = ["none", *algorithm_names()]
            found[name] = lookup("--fix algorithm", value, known, error=PlanError)
        else:
            raise PlanError(
                f"--fix {text!r}: expected workers=N, microbatch=N, bucket_bytes=N,"
                " algorithm=NAME or overlap=on|off"
            )
    return found


def show_plans(found: "PlanFile") -> None:
    """Print the answer, the best plans and the certificate."""
    from hwprofiles.units import format_bytes, format_frac, format_s

    best = found.plans[0].prediction
    out(
        f"{found.model}, batch {found.training.batch}, on {found.cluster}: {found.plans[0].label},"
        f" {format_s(best.step_s)} a step, {best.samples_per_s:,.0f} samples/s"
        f" (grade {best.grade}, stated interval {format_s(best.interval_s[0])} to"
        f" {format_s(best.interval_s[1])})"
    )
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
        )
        for ranked in found.plans
    ]
    table(("plan", "step", "slower by", "closed form", "bound", "memory", "grade"), rows)
    proof = found.certificate
    counts = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in proof.by_verdict.items()
    )
    out()
    out(
        f"certificate: {proof.candidates} candidates ({counts}); {proof.simulated} simulated,"
        f" {proof.pruned_by_bound} pruned by bound, {proof.not_reached} not reached;"
        f" {proof.statement}"
    )
