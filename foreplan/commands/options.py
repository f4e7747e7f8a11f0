"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

T = TypeVar("T")


def writable(path: Path | None) -> Path | None:
    """Return ``path``; refuse, before any work is done, a place where no file can be written."""
    from hwprofiles.errors import RecordError

    if path is None:
        return None
    if path.is_dir():
        why = "it is a folder"
    elif not path.parent.is_dir():
        why = "its folder does not exist"
    elif not os.access(path.parent, os.W_OK):
        why = "its folder is not yours to write to"
    else:
        return path
    raise RecordError(f"{path}: cannot be written ({why}); name a file in a folder of yours")


def amount(option: str, text: str, read: Callable[[str], T]) -> T:
    """Return the amount that ``read`` makes of the text of an option; a fault names the option."""
    from hwprofiles.errors import ForeplanError, PlanError

    try:
        return read(text)
    except ForeplanError as error:
        raise PlanError(f"{option}: {error}; give another value") from error


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
MOST_SAMPLES = 2**31 - 1
Batch = Annotated[
    int,
    typer.Option("--batch", min=1, max=MOST_SAMPLES, help="Global batch: samples of one update."),
]
BatchOr32 = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        max=MOST_SAMPLES,
        help="Global batch: samples of one update; default: 32 a device.",
    ),
]
Seq = Annotated[
    int | None,
    typer.Option("--seq", min=1, help="Tokens of a sample of text; also MODEL:N."),
]
Dtype = Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")]
UsualDtype = Annotated[
    str | None,
    typer.Option(
        help="float32, float64, float16, bfloat16 or tf32; default: float32, or what the devices"
        " compute in instead."
    ),
]
Optimizer = Annotated[str, typer.Option(help="How gradients change parameters, e.g. sgd or adamw.")]
Rate = Annotated[float | None, typer.Option(help="Learning rate; default: that of the optimizer.")]
Momentum = Annotated[float, typer.Option(help="Momentum of sgd.")]
Beta1 = Annotated[float, typer.Option("--beta1", help="What adamw keeps of the mean gradient.")]
Beta2 = Annotated[float, typer.Option("--beta2", help="What adamw keeps of its mean square.")]
Epsilon = Annotated[float, typer.Option(help="What adamw adds to the root of the mean square.")]
Decay = Annotated[
    float, typer.Option("--weight-decay", help="What adamw shrinks parameters by, times the rate.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the first parameters and of dropout.")]
Software = Annotated[
    str,
    typer.Option(
        help="Devices as efficient as published runs of this software; `datasheet`: at their peaks."
    ),
]
USUAL_SOFTWARE = "pytorch-containers"
Calibrate = Annotated[
    Path | None,
    typer.Option(
        "--calibrate",
        help="A run of your own (a row as a CSV table, or measurement.json): shifts its family.",
    ),
]
