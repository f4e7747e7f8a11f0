"""``explain``: why a plan won, by how much, and what would have to change for another to win."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json, Quiet
from foreplan.console import INTERRUPTED, out, progress, show_json, table


def explain(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A file written by `plan`.")],
    pick: Annotated[int, typer.Option(min=0, help="Which plan of the file.")] = 0,
    flips: Annotated[
        bool,
        typer.Option(
            "--flips/--no-flips", help="Whether to look for what would make another plan win."
        ),
    ] = True,
    batches: Annotated[
        bool | None,
        typer.Option(
            "--batches/--no-batches",
            help="Whether to look for batches with another best choice; default: for small plans.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say why a plan won, and below and above which bandwidth, latency or speed another wins."""
    import foreplan
    from reports.explanation import headline, link_rows, path_rows, response_rows, sections

    with progress("explaining", quiet=quiet) as step:
        found = foreplan.explain(
            plan,
            pick,
            flips=flips,
            batches=batches,
            progress=lambda what, done, total: step(done, total, what),
        )
    code = INTERRUPTED if found.interrupted else 0
    if json:
        show_json(found)
        return code
    out(headline(found))
    out()
    table(("critical path", "time", "share", "tasks"), path_rows(found))
    if rows := link_rows(found):
        out()
        heads = ("link", "wires used", "bytes a step", "mean use", "busiest wire", "its use")
        table(heads, rows)
    if rows := response_rows(found):
        out()
        table(("a step of this plan with", "half of it", "twice of it"), rows)
    for stack in found.stacks:
        out(stack.sentence)
    for title, sentences in sections(found):
        out()
        out(f"{title}:")
        for sentence in sentences:
            out(f"  {sentence}")
    return code
