"""``hw``: hardware parts, and the calibration of this machine."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Batch, Dtype, Json, Optimizer, Quiet, Seq, writable
from foreplan.console import note, out, progress, show_json, table

app = typer.Typer(
    help="Hardware: what there is, and how fast this machine is.", no_args_is_help=True
)
USUAL_MODEL = "lenet-5"
"""Of ``calibrate --quick``."""


@app.command("list")
def list_parts(json: Json = False) -> None:
    """List devices, links and systems, with a fact each."""
    from foreplan.listing import listing

    found = listing()
    if json:
        show_json(found)
        return
    for kind, lines in found.items():
        out(f"{kind} ({len(lines)})")
        width = max(len(line["name"]) for line in lines)
        for line in lines:
            also = f"; also {', '.join(line['aliases'])}" if line["aliases"] else ""
            out(f"  {line['name']:{width}}  {line['fact']}{also}")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A device, a link, a system (dgx-h100:4, tpu-v4:4x4x8, mine.toml), or local."
        ),
    ],
    plot: Annotated[
        Path | None, typer.Option(help="Draw a system into this file (png, svg or pdf).")
    ] = None,
    json: Json = False,
) -> None:
    """Show what is known of a device, a link or a system, with its source."""
    from foreplan.hardware import sheets

    plot = writable(plot)
    found = sheets(name)
    if plot is not None:
        _draw(name, "system" in found, plot)
    if json:
        show_json({kind: sheet.record for kind, sheet in found.items()})
        return
    for place, sheet in enumerate(found.values()):
        if place:
            out()
        out(sheet.title)
        width = max(len(key) for key, _ in sheet.rows)
        for key, value in sheet.rows:
            out(f"  {key:{width}}  {value}")
        for head, rows in sheet.tables:
            if rows:
                out()
                table(head, rows)
        out()
        for line in sheet.notes:
            out(line)


def _draw(name: str, is_system: bool, path: Path) -> None:
    """Draw the cluster called ``name`` into a file."""
    from hwprofiles.clusters import load_cluster
    from hwprofiles.errors import ProfileError
    from reports.fabric_figure import draw_cluster, save

    if not is_system:
        raise ProfileError(f"--plot: expected a system to draw, got {name!r}; name one")
    save(draw_cluster(load_cluster(name)), path)


@app.command()
def calibrate(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the ops of one model's plans, about 30 s.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="With --quick: the model; default: lenet-5.")
    ] = None,
    batch: Batch = 64,
    seq: Seq = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Only this number of workers; default: all.")
    ] = None,
    dtype: Dtype = "float32",
    optimizer: Optimizer = "sgd",
    backend: Annotated[
        str, typer.Option(help="Whose kernels: numpy, mkl or onednn (PyTorch), as local:onednn.")
    ] = "numpy",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time ops, transfers and dispatch on this machine and keep them in the op store.

    For each number of workers, that many pinned processes run the same op at once, one op at a
    time. Without --quick: the general set of ops that curves are fitted to, about 90 s.
    """
    import foreplan
    from foreplan.training import training_of
    from hwprofiles.errors import ProfileError
    from planner.model import with_tokens
    from planner.precision import HALVES

    cores = _physical_cores()
    if workers is not None and workers > cores:
        raise ProfileError(
            f"--workers {workers}: this machine has {cores} cores; give at most that"
        )
    if model and not quick:
        raise ProfileError(
            f"--model {model}: expected --quick beside it, got none, which times ops of all models;"
            " give both or none"
        )
    able = ("float32", "float64", *HALVES * (backend == "numpy"))
    if dtype not in able:
        raise ProfileError(
            f"--dtype: expected {' or '.join(able)}, in which backend {backend!r} computes, got"
            f" {dtype!r}; give another value"
        )
    training = training_of(optimizer, batch=batch, dtype=dtype)
    with progress("calibrating", quiet=quiet) as step:
        counts = foreplan.calibrate(
            workers=workers,
            model=with_tokens(model or USUAL_MODEL, seq) if quick else None,
            training=training,
            backend=backend,
            progress=lambda lanes, done, total: step(done, total, f"{lanes} workers"),
        )
    if json:
        show_json(counts)
        return
    for lanes, count in counts.items():
        note(f"{count} ops timed with {lanes} workers at once", quiet=quiet)


def _physical_cores() -> int:
    from hwprofiles.local import local_facts

    return local_facts().physical_cores
