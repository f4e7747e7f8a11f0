"""``collective``: how long a communication library takes for one collective, by size."""

from typing import Annotated

import typer

from foreplan.commands.options import Json, Quiet, amount
from foreplan.console import note, out, show_json, table

STEP = 4
"""From one size to the next."""


def collective(
    operation: Annotated[str, typer.Argument(help="all-reduce, all-gather, all-to-all, ...")],
    cluster: Annotated[str, typer.Argument(help="A cluster with its nodes, e.g. dgx-h100:2.")],
    ranks: Annotated[
        int | None, typer.Option(min=2, help="Spread evenly over the nodes; default: all devices.")
    ] = None,
    size: Annotated[
        str, typer.Option("--bytes", help="Range of the array that every rank holds.")
    ] = "1KiB:1GiB",
    policy: Annotated[
        str, typer.Option(help="Who chooses: best (the cheapest way), or nccl (as that library).")
    ] = "best",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict a collective as a library runs it on a cluster: the way it takes, time, rates.

    The law is that of `validate`: constants of transport stacks, fitted to published rows. A time
    lies with 80 % inside the interval beside it.
    """
    import foreplan
    from hwprofiles.transport import seen_stacks
    from hwprofiles.units import format_bytes, format_s, parse_bytes

    first, _, last = size.partition(":")
    found = foreplan.collective(
        operation.replace("-", "_"),
        cluster,
        ranks=ranks,
        first_bytes=amount("--bytes", first, parse_bytes),
        last_bytes=amount("--bytes", last or first, parse_bytes),
        step=STEP,
        policy=policy,
    )
    if json:
        show_json(found)
        return
    heads = ("size", "way", "time", "80 % interval", "algbw", "busbw")
    table(
        heads,
        [
            (
                format_bytes(call.payload_bytes),
                f"{call.algorithm}, {call.protocol}",
                format_s(call.time_s),
                " to ".join(map(format_s, call.interval_s)),
                f"{call.payload_bytes / call.time_s / 1e9:.4g} GB/s",
                f"{call.bus_bytes_per_s / 1e9:.4g} GB/s",
            )
            for call in found
        ],
    )
    stacks = found[0].stacks if found else ()
    out(f"{', '.join(stacks)}; policy {policy}")
    if assumed := [name for name in stacks if name not in seen_stacks()]:
        note(f"no published rows went through {', '.join(assumed)}: assumed", quiet=quiet)
