"""``data``: write record files to train on."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.console import out

app = typer.Typer(help="Write record files to train on.", no_args_is_help=True)


@app.command()
def digits(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; default: in $FOREPLAN_HOME.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shuffle and the split.")] = 0,
) -> None:
    """Write scikit-learn's 1,797 handwritten digits, 80 % to train on and 20 % to test."""
    import foreplan

    for path in foreplan.write_digits(output, seed):
        out(f"wrote {path}")


@app.command()
def text(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of text; default: sources of Python's standard library."),
    ] = None,
    seq: Annotated[
        int, typer.Option(min=1, max=65536, help="Bytes of a sample; a record has one more.")
    ] = 64,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; default: in $FOREPLAN_HOME.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order.")] = 0,
) -> None:
    """Write up to 4 MiB of text, byte by byte; the last files drawn are the test."""
    import foreplan

    for path in foreplan.write_text(output, files or (), seq, seed):
        out(f"wrote {path}")
