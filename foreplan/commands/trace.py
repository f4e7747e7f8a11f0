"""``trace``: one step, simulated and measured, for a trace viewer."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json, Quiet, writable
from foreplan.console import note, progress, show_json


def trace(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A file written by `plan`.")],
    measurement: Annotated[
        Path | None, typer.Argument(help="A file written by `execute` from that plan.")
    ] = None,
    rank: Annotated[
        list[int] | None, typer.Option(help="Write this rank, several times for some; default all.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", callback=writable, help="The trace (.json, or .json.gz compressed)."
        ),
    ] = Path("trace.json"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one step as a trace that ui.perfetto.dev and chrome://tracing open."""
    import foreplan

    with progress("writing", quiet=quiet) as step:
        written = foreplan.trace(
            plan,
            measurement,
            output,
            ranks=rank or (),
            progress=lambda done, total: step(done, total, "ranks"),
        )
    if json:
        show_json({"written": str(written)})
        return
    note(f"wrote {written}", quiet=quiet)
