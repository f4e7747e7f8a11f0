"""``diff``: what differs between two plan files."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json
from foreplan.console import out, show_json


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A file written by `plan`.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    json: Json = False,
) -> None:
    """Show what differs between two plan files: inputs, plan, predictions, memory, path."""
    import foreplan
    from reports.difference import difference_lines

    found = foreplan.diff(a, b)
    if json:
        show_json(found)
    elif not found:
        out("nothing differs")
    else:
        for line in difference_lines(found):
            out(line)
