"""``what-if``: the plans of a plan file on changed hardware."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json, Quiet, writable
from foreplan.console import INTERRUPTED, note, out, progress, show_json, table


def what_if(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A file written by `plan`.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="inter.bandwidth=2x, latency=5us, link.NAME.bandwidth=200Gb/s, device.memory=40GB,"
            " device.flops=1.5x, ...; may be given several times.",
        ),
    ] = None,
    replan: Annotated[
        bool, typer.Option("--replan", help="Search all candidates again, not only price.")
    ] = False,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most simulations of a search; default: 32, beyond 64 devices as `plan`."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=writable, help="Where to write the new plan file."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Price the plans of PLAN on changed hardware; show before and after."""
    import foreplan
    from reports.repriced import what_if_lines, what_if_rows

    with progress("predicting", quiet=quiet) as step:
        found = foreplan.what_if(
            plan,
            settings or [],
            replan=replan,
            budget=budget,
            output=output,
            progress=lambda done, total: step(done, total, ""),
        )
    if json:
        show_json(found)
    else:
        for line in what_if_lines(found):
            out(line)
        out()
        heads = ("plan", "before", "after", "change", "closed form", "throughput", "grade")
        table(heads, what_if_rows(found))
    if output is not None:
        note(f"wrote {output}", quiet=quiet or json)
    return INTERRUPTED if found.interrupted else 0
