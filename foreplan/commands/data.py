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


@app.callback()
def _data() -> None:
    """Keep ``digits`` a command of its own, for more data sets follow."""
