"""``report``: the page of a plan and its measurement."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Quiet, writable
from foreplan.console import note


def report(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A file written by `plan`.")],
    measurement: Annotated[
        Path | None, typer.Argument(help="A file written by `execute` from that plan.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=writable, help="The page (.html).")
    ] = Path("report.html"),
    quiet: Quiet = False,
) -> None:
    """Write a self-contained page, and its Markdown twin beside it."""
    import foreplan

    for path in foreplan.report(plan, measurement, output):
        note(f"wrote {path}", quiet=quiet)
