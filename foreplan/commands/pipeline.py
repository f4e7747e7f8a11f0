"""``pipeline``: cut a model into stages on the devices of a cluster, and predict the step."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import (
    USUAL_SOFTWARE,
    Batch,
    Calibrate,
    Dtype,
    Json,
    Optimizer,
    Quiet,
    Seq,
    Software,
    writable,
)
from foreplan.console import note, out, progress, show_json, table

if TYPE_CHECKING:
    from foreplan.pipelining import Pipelined

SHORT = {"1f1b": "one_f_one_b"}
"""What a schedule is called elsewhere."""


def pipeline(
    model: Annotated[str, typer.Argument(help="A built-in model, or a .toml or .onnx file.")],
    cluster: Annotated[str, typer.Argument(help="A shipped cluster, or a TOML file.")],
    batch: Batch,
    seq: Seq = None,
    *,
    stages: Annotated[
        int, typer.Option(min=0, help="Stages, each on a device of its own; 0: all devices.")
    ] = 0,
    microbatches: Annotated[
        int, typer.Option(min=0, help="Microbatches of a step; 0: the best number.")
    ] = 0,
    balance: Annotated[
        str, typer.Option(help="Layers of each stage, e.g. 52,87,100,106; default: the best cut.")
    ] = "",
    schedule: Annotated[
        str, typer.Option(help="gpipe or 1f1b (one_f_one_b); default: the faster one.")
    ] = "",
    recompute: Annotated[
        str,
        typer.Option(help="always, except-last or never run forward again; default: the best."),
    ] = "",
    software: Software = USUAL_SOFTWARE,
    calibrate: Calibrate = None,
    dtype: Dtype = "float32",
    optimizer: Optimizer = "sgd",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=writable, help="Draw the step (.svg)."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict MODEL in pipeline stages on CLUSTER: the fastest pipeline that fits, or a given one.

    A step is simulated with its transfers; skips go straight to the stage that reads them.
    """
    import foreplan
    from foreplan.pipelining import draw_pipeline
    from foreplan.training import training_of
    from hwprofiles.errors import RecordError
    from planner.model import with_tokens
    from planner.pipeline_search import Asked
    from planner.records import write_bytes

    if output is not None and output.suffix != ".svg":
        raise RecordError(f"{output}: expected a file that ends in .svg; name one")
    training = training_of(optimizer, batch=batch, dtype=dtype)
    with progress("planning", quiet=quiet or json) as step:
        found = foreplan.pipeline(
            with_tokens(model, seq),
            cluster,
            training,
            Asked(
                stages=stages,
                microbatches=microbatches,
                balance=_layers(balance),
                schedule=SHORT.get(schedule, schedule.replace("-", "_")),
                recompute=recompute,
            ),
            software=software,
            calibrate=calibrate,
            progress=lambda done, total: step(done, total, ""),
        )
    if output is not None:
        write_bytes(output, draw_pipeline(found, software, calibrate).encode())
    if json:
        show_json(found)
    else:
        _show(found)
    if output is not None:
        note(f"wrote {output}", quiet=quiet or json)


def _layers(text: str) -> tuple[int, ...]:
    """Read ``52,87,100,106``."""
    from hwprofiles.errors import PlanError

    parts = text.replace("|", ",").split(",") if text else []
    if not all(part.strip().isdecimal() for part in parts):
        raise PlanError(
            f"--balance {text!r}: expected numbers of layers such as 52,87,100,106; give one for"
            " each stage"
        )
    return tuple(int(part) for part in parts)


def _show(found: "Pipelined") -> None:
    from foreplan.answer import show_evidence
    from hwprofiles.units import format_bytes, format_s

    told, plan = found.prediction, found.plan
    out(
        f"{found.model}, batch {found.training.batch}, on {found.cluster}: {plan.stages} stages,"
        f" {found.microbatches} microbatches of {plan.microbatch}, {plan.schedule}, recompute"
        f" {plan.recompute}"
    )
    least_s, most_s = told.interval_s
    out(
        f"{format_s(told.step_s)} a step, {told.samples_per_s:,.0f} samples/s (grade {told.grade},"
        f" interval {format_s(least_s)} to {format_s(most_s)}); closed form"
        f" {format_s(told.closed_form_s)}; bubble {told.bubble_frac:.0%}"
    )
    show_evidence(found.evidence)
    out()
    rows = [
        (
            str(stage),
            f"{facts.first_layer} .. {facts.last_layer}",
            str(facts.layers),
            f"{facts.parameters:,}",
            format_s(facts.forward_s),
            format_s(facts.backward_s),
            f"{facts.busy_frac:.0%}",
            format_bytes(facts.sent_bytes),
            format_bytes(facts.total_bytes),
        )
        for stage, facts in enumerate(told.stages)
    ]
    heads = ("stage", "from .. to", "layers", "parameters", "forward", "backward", "busy")
    table((*heads, "sends a step", "memory"), rows)
    out()
    out(f"the fastest that fits of {found.candidates}; {found.simulated} simulated")
