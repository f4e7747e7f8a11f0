"""``report``: the page of a plan and its measurement, or of several plans side by side."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json, Quiet, writable
from foreplan.console import note, progress, show_json


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Files written by `plan`, the first of which the others are compared with, and by"
            " `execute`, in any order.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=writable, help="The page (.html).")
    ] = Path("report.html"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a self-contained page, and its Markdown twin beside it."""
    import foreplan

    with progress("drawing", quiet=quiet or json) as step:
        written = foreplan.report(files, output, progress=step)
    if json:
        show_json({"written": [str(path) for path in written]})
        return
    for path in written:
        note(f"wrote {path}", quiet=quiet)
