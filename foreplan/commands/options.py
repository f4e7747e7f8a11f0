"""Options that several commands share."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Global batch: samples of one update.")]
Dtype = Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")]
Rate = Annotated[float, typer.Option(help="Learning rate of SGD.")]
Momentum = Annotated[float, typer.Option(help="Momentum of SGD.")]
Seed = Annotated[int, typer.Option(help="Seed of the first parameters.")]
