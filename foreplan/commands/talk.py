"""``talk``: a set of figures on schedulers, updates and memory, each with its numbers."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Quiet
from foreplan.console import note, progress


def talk(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder; made if it is not there.")
    ] = Path("talk"),
    quiet: Quiet = False,
) -> None:
    """Simulate and draw: central scheduler or actors, stale updates, static or dynamic memory."""
    import foreplan

    with progress("simulating", quiet=quiet) as step:
        written = foreplan.talk(output, step)
    for path in written:
        note(f"wrote {path}", quiet=quiet)
