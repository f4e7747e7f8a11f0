"""``estimate``: price one given plan."""

from typing import Annotated

import typer

from foreplan.answer import show_evidence
from foreplan.commands.options import (
    USUAL_SOFTWARE,
    Batch,
    Calibrate,
    Json,
    Optimizer,
    Seq,
    Software,
    UsualDtype,
    amount,
)
from foreplan.console import note, out, show_json, table


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
    from foreplan.training import training_of, usual_dtype
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
    dtype = dtype or usual_dtype(machine, usual)
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
