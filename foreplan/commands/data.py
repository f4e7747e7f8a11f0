"""``data``: write record files to train on."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Quiet, Seq
from foreplan.console import note, progress

app = typer.Typer(help="Write record files to train on.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option("-o", "--output", help="Folder; default: in $FOREPLAN_HOME.")
]


@app.command()
def digits(
    output: Folder = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shuffle and the split.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Write scikit-learn's 1,797 handwritten digits, 80 % to train on and 20 % to test."""
    import foreplan

    for path in foreplan.write_digits(output, seed):
        note(f"wrote {path}", quiet=quiet)


@app.command()
def text(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of text; default: sources of Python's standard library."),
    ] = None,
    seq: Annotated[
        int, typer.Option(min=1, max=65536, help="Bytes of a sample; a record has one more.")
    ] = 64,
    output: Folder = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Write up to 4 MiB of text, byte by byte: 512 records at most to test."""
    import foreplan

    for path in foreplan.write_text(output, files or (), seq, seed):
        note(f"wrote {path}", quiet=quiet)


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(help="A file of raw records.")],
    target: Annotated[Path, typer.Argument(help="Where to write them compressed.")],
    level: Annotated[int, typer.Option(min=1, max=9, help="Of zlib: 1 quick, 9 small.")] = 6,
    quiet: Quiet = False,
) -> None:
    """Compress the records of a file one by one, for an input pipeline to decode."""
    from runtime.packed import pack_records

    header = pack_records(source, target, level)
    note(f"wrote {target}: {header.count} records of {header.size_bytes} bytes each", quiet=quiet)


@app.command()
def synthetic(
    shape: Annotated[str | None, typer.Option(help="Of a sample, e.g. 3x224x224.")] = None,
    classes: Annotated[int, typer.Option(min=1, max=65536, help="Number of labels.")] = 1000,
    model: Annotated[
        str | None, typer.Option(help="Whose samples and labels, instead of a shape; e.g. gpt-2.")
    ] = None,
    seq: Seq = None,
    count: Annotated[int, typer.Option(min=2, help="Samples in all.")] = 160,
    output: Folder = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of samples and labels.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Write random samples, 80 % to train on: for throughput, for there is nothing to learn."""
    import foreplan
    from hwprofiles.errors import RecordError
    from planner.model import with_tokens

    if (shape is None) == (model is None):
        given = "both" if shape else "none"
        raise RecordError(f"data synthetic: expected --shape or --model, got {given}; give one")
    sides = shape.split("x") if shape else []
    if not all(side.isascii() and side.isdecimal() for side in sides):
        raise RecordError(f"--shape {shape!r}: expected sides like 3x224x224; give such a shape")
    with progress("writing", quiet=quiet) as step:
        more = (count, output, seed, lambda done, total: step(done, total, ""))
        if model:
            paths = foreplan.write_synthetic_for(with_tokens(model, seq), *more)
        else:
            paths = foreplan.write_synthetic(tuple(map(int, sides)), classes, *more)
    for path in paths:
        note(f"wrote {path}", quiet=quiet)
