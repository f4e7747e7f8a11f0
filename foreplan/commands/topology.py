"""``topology``: which algorithm is fastest, by ranks, bytes and network, as a map."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import Json, Quiet, UsualDtype, amount, writable
from foreplan.console import note, out, progress, show_json, table

if TYPE_CHECKING:
    from planner.topology import TopologyMap

LINKS = ("ethernet-10g", "ethernet-100g", "infiniband-ndr-400g")
"""Without a network: what many machines are joined by, slow to fast."""


def topology(
    operation: Annotated[
        str, typer.Argument(help="all-reduce, all-gather, all-to-all, broadcast, ...")
    ] = "all-reduce",
    ranks: Annotated[
        str, typer.Option(help="A range (2:4096) or numbers (3,6,12) of ranks.")
    ] = "2:4096",
    size: Annotated[
        str, typer.Option("--bytes", help="Range of the array that every rank holds.")
    ] = "1KB:10GB",
    link: Annotated[
        list[str] | None,
        typer.Option(help="A link that joins the ranks to one switch; several make panels."),
    ] = None,
    cluster: Annotated[
        list[str] | None, typer.Option(help="A cluster, e.g. dgx-1-v100 or dgx-h100:8.")
    ] = None,
    algorithm: Annotated[
        list[str] | None, typer.Option(help="Only these, e.g. star, tree, ring; default: all.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device of a rank, with --link: adds what arrives.")
    ] = "v100-sxm2-16g",
    dtype: UsualDtype = None,
    samples: Annotated[
        int, typer.Option(min=0, max=10_000, help="Points to simulate too, for each network.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of these points.")] = 0,
    engine: Annotated[
        str | None, typer.Option(help="simpy, heap or array; without it, by the number of tasks.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=writable, help="Draw it (png, svg, pdf)."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Map which algorithm (star, tree, ring, ...) is fastest, and where it changes."""
    import foreplan
    from hwprofiles.errors import PlanError
    from planner.opcall import TRAINING_DTYPES
    from sim.engine import ENGINES

    if dtype not in (None, *TRAINING_DTYPES):
        raise PlanError(f"--dtype {dtype!r}: expected {', '.join(TRAINING_DTYPES)}; give one")
    if engine not in (None, *ENGINES):
        raise PlanError(f"--engine {engine!r}: expected {', '.join(ENGINES)}, or nothing")
    if json and as_csv:
        raise PlanError("--csv: expected one form of output, got --json too; leave one of them out")
    first_bytes, last_bytes = _bytes(size)
    with progress("mapping", quiet=quiet) as step:
        maps = foreplan.topology(
            link or ([] if cluster else LINKS),
            cluster or [],
            ranks=_ranks(ranks),
            first_bytes=first_bytes,
            last_bytes=last_bytes,
            algorithms=[name.replace("-", "_") for name in algorithm or []] or None,
            device=device,
            samples=samples,
            seed=seed,
            engine=engine,
            dtype=dtype,
            progress=lambda done, total: step(done, total, ""),
            operation=operation.replace("-", "_"),
        )
    if output is not None:
        from reports.fabric_figure import save
        from reports.topology_figure import draw_topology

        save(draw_topology(maps), output)
    if json:
        from planner.topology import record

        show_json([record(found) for found in maps])
    elif as_csv:
        _show_csv(maps)
    else:
        _show(maps)
    if output is not None:
        note(f"wrote {output}", quiet=quiet or json)


def _ranks(text: str) -> tuple[int, int] | list[int]:
    """Read ``2:4096`` as a range, ``3,6,12`` as numbers."""
    from hwprofiles.errors import PlanError

    separator = ":" if ":" in text else ","
    try:
        numbers = [int(part) for part in text.split(separator)]
    except ValueError:
        numbers = []
    is_range = separator == ":"
    if not numbers or (is_range and (len(numbers) != 2 or numbers[0] > numbers[1])):
        raise PlanError(
            f"--ranks {text!r}: expected a range such as 2:4096, or numbers such as 3,6,12; give"
            " one of these"
        )
    return (numbers[0], numbers[1]) if is_range else sorted(set(numbers))


def _bytes(text: str) -> tuple[int, int]:
    """Read ``1KB:10GB``."""
    from hwprofiles.errors import PlanError
    from hwprofiles.units import parse_bytes

    first, colon, last = text.partition(":")
    if not colon:
        raise PlanError(f"--bytes {text!r}: expected a range such as 1KB:10GB; give both ends")
    return amount("--bytes", first, parse_bytes), amount("--bytes", last, parse_bytes)


def _show(maps: "list[TopologyMap]") -> None:
    """Print for each number of ranks who wins up to which size."""
    from hwprofiles.units import format_bytes, format_s
    from planner.topology import remarks

    for place, found in enumerate(maps):
        if place:
            out()
        network = found.network
        latency = format_s(network.latency_s)
        out(f"{network.name}: {network.rates} a direction, {latency} a message, {network.dtype}")
        rows = []
        for column, ranks in enumerate(found.ranks.tolist()):
            *parts, (last, _, _) = [
                (name.replace("_", "-"), first, end) for name, first, end in found.bands(column)
            ]
            told = [f"{name} up to {format_bytes(end)}" for name, _, end in parts]
            rows.append((str(ranks), ", then ".join([*told, last])))
        table(("ranks", "fastest"), [(ranks, text) for ranks, text in _left(rows)])
        if found.samples:
            agree = sum(sample.agrees for sample in found.samples)
            out(f"simulated whole at {len(found.samples)} points: the same wins at {agree} of them")
        for remark in remarks(found):
            out(remark)


def _left(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pad the texts of a table that aligns to the right."""
    width = max(len(text) for _, text in rows)
    return [(ranks, text.ljust(width)) for ranks, text in rows]


def _show_csv(maps: "list[TopologyMap]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("network", "ranks", "algorithm", "first_bytes", "last_bytes"))
    for found in maps:
        for column, ranks in enumerate(found.ranks.tolist()):
            for name, first, last in found.bands(column):
                writer.writerow((found.network.name, ranks, name, first, last))
