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
def pack(
    source: Annotated[Path, typer.Argument(help="A file of raw records.")],
    target: Annotated[Path, typer.Argument(help="Where to write them compressed.")],
    level: Annotated[int, typer.Option(min=1, max=9, help="Of zlib: 1 quick, 9 small.")] = 6,
) -> None:
    """Compress the records of a file one by one, for an input pipeline to decode."""
    from runtime.packed import pack_records

    header = pack_records(source, target, level)
    out(f"wrote {target}: {header.count} records of {header.size_bytes} bytes each")
