"""``input``: give a plan an input pipeline beside its steps, and say what it should have."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import Json, Quiet, writable
from foreplan.console import note, out, progress, show_json, table

if TYPE_CHECKING:
    from planner.records import PlanFile


def plan_input(
    path: Annotated[Path, typer.Argument(metavar="PLAN", help="A file written by `plan`.")],
    *,
    pick: Annotated[int, typer.Option(min=0, help="Which plan of the file; 0 is the best.")] = 0,
    decode_workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode for each worker; 0: none.")
    ] = None,
    prefetch: Annotated[
        int | None, typer.Option(min=1, help="Microbatches that each of them may hold.")
    ] = None,
    throttle: Annotated[
        str, typer.Option(help="Most to read in a second, e.g. 20MB/s; 0: no limit.")
    ] = "",
    cold: Annotated[
        bool | None,
        typer.Option("--cold/--warm", help="Read from the device, not from the page cache."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores of a host; default: those of this machine.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Take the advice.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder of the record files.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", callback=writable, help="Where to write.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict PLAN with an input pipeline; print its stages, the bottleneck and the advice."""
    from foreplan.inputs import Asked
    from foreplan.inputs import plan_input as build
    from hwprofiles.errors import PlanError
    from planner.records import write_record

    if apply and decode_workers is not None:
        raise PlanError(
            f"--apply: expected that the advice says how many decode, got --decode-workers"
            f" {decode_workers} too; leave one of them out"
        )

    asked = Asked(
        decode_workers=decode_workers,
        prefetch=prefetch,
        throttle_bytes_per_s=parse_rate(throttle) if throttle else None,
        cold=cold,
        cores=cores,
        apply=apply,
    )
    with progress("planning the input", quiet=quiet or json) as step:
        found, text = build(
            path,
            asked,
            pick=pick,
            data=data,
            say=lambda told: note(told, quiet=quiet),
            progress=lambda done, total: step(done, total, ""),
        )
    if output:
        write_record(output, found)
    if json:
        show_json(found.plans[0].prediction)
    else:
        show_stages(found, text)
    if output:
        note(f"wrote {output}", quiet=quiet or json)


def parse_rate(text: str) -> float:
    """Read a rate such as ``20MB/s``; bytes a second.

    Raises
    ------
    PlanError
        When it is none.
    """
    from hwprofiles.errors import ForeplanError, PlanError
    from hwprofiles.units import parse_bytes

    try:
        return float(parse_bytes(text.strip().removesuffix("/s")))
    except ForeplanError as error:
        raise PlanError(
            f"--throttle {text!r}: expected bytes a second such as 20MB/s, or 0; correct it"
        ) from error


def show_stages(found: "PlanFile", text: str) -> None:
    """Print the stages of the pipeline and the advice."""
    from hwprofiles.units import format_frac, format_s

    ranked = found.plans[0]
    prediction = ranked.prediction
    out(
        f"{found.model}, batch {found.training.batch}, on {found.cluster}: {ranked.label},"
        f" {format_s(prediction.step_s, 4)} a step, {prediction.samples_per_s:,.0f} samples/s"
        f" (grade {prediction.grade})"
    )
    if prediction.input:
        out()
        rows = [
            (stage, format_s(seconds), format_frac(prediction.input.busy_frac[stage]))
            for stage, seconds in prediction.input.stages_s.items()
        ]
        table(("stage", "busiest, a step", "busy"), rows)
        out()
    out(text)
