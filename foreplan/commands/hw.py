"""``hw``: hardware parts, and the calibration of this machine."""

from typing import Annotated

import typer

from foreplan.commands.options import Batch, Dtype, Json, Quiet
from foreplan.console import note, out, progress, show_json, table

app = typer.Typer(
    help="Hardware: what there is, and how fast this machine is.", no_args_is_help=True
)


@app.command("list")
def list_parts(json: Json = False) -> None:
    """List devices, links and clusters."""
    from hwprofiles.parts import part_names

    found = {
        "devices": part_names("device"),
        "links": part_names("link"),
        "clusters": [*part_names("cluster"), "local"],
    }
    if json:
        show_json(found)
        return
    for kind, names in found.items():
        out(f"{kind}: {', '.join(names)}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A device or a cluster, or local.")],
    json: Json = False,
) -> None:
    """Show the facts of a device or a cluster, with their source."""
    from foreplan.machines import load_machine
    from hwprofiles.parts import load_device, part_names
    from hwprofiles.units import format_bytes, format_flop, format_s
    from planner.records import cluster_record

    if name in part_names("device"):
        device = load_device(name)
        if json:
            show_json(device)
            return
        rows = [("kind", device.kind), ("memory", format_bytes(device.memory_bytes, 4))]
        rows.append(("memory bandwidth", f"{format_bytes(device.memory_bytes_per_s)}/s"))
        rates = device.peak_flop_per_s.items()
        rows += [(f"peak {dtype}", f"{format_flop(rate)}/s") for dtype, rate in rates]
        table((device.name, ""), rows)
        out(f"source: {device.source}")
        return
    machine = load_machine(name)
    records = {w: cluster_record(machine, w, set()) for w in sorted(machine.clusters)}
    if json:
        show_json(records)
        return
    for workers, record in records.items():
        cluster = machine.cluster(workers)
        title = f"{record.name}, {workers} workers" if workers else record.name
        out(f"{title}: {len(record.devices)} devices ({', '.join(sorted(set(record.devices)))})")
        if cluster.devices[0].launch_overhead_s:
            out(f"  dispatch of an op: {format_s(cluster.devices[0].launch_overhead_s)}")
        links = [
            (
                f"  {a} -> {b}",
                record.links[i].name,
                f"{format_bytes(record.links[i].bandwidth_bytes_per_s)}/s",
                format_s(record.links[i].overheads[0][1]),
                record.links[i].grade.label,
            )
            for a, b, i in record.edges
        ]
        if links:
            table(("  link", "", "bandwidth", "latency", "grade"), links)


@app.command()
def calibrate(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the ops of one model's plans, about 20 s.")
    ] = False,
    model: Annotated[str, typer.Option(help="With --quick: the model.")] = "lenet-5",
    batch: Batch = 64,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Only this number of workers; default: all.")
    ] = None,
    dtype: Dtype = "float32",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time ops, transfers and dispatch on this machine and keep them in the op store.

    For each number of workers, that many pinned processes run the same op at once, one op at a
    time. Without --quick: the general set of ops that curves are fitted to, about 90 s.
    """
    import foreplan
    from hwprofiles.errors import ProfileError
    from planner.plan import Training

    cores = _physical_cores()
    if workers is not None and workers > cores:
        raise ProfileError(
            f"--workers {workers}: this machine has {cores} cores; give at most that"
        )
    if dtype not in ("float32", "float64"):
        raise ProfileError(f"--dtype {dtype!r}: NumPy computes in float32 or float64")
    training = Training(batch=batch, dtype=dtype)
    with progress("calibrating", quiet=quiet) as step:
        counts = foreplan.calibrate(
            workers=workers,
            model=model if quick else None,
            training=training,
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
