"""``bench``: rates of the engines and of the search, printed with what was counted."""

from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import Json, Quiet
from foreplan.console import note, out, progress, show_json, table

if TYPE_CHECKING:
    from foreplan.op_rates import OpRate

app = typer.Typer(help="How fast the engines and the search are; without a command, both.")


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Run every benchmark, unless one is named."""
    if context.invoked_subcommand is None:
        engine()
        scale()
        search()


@app.command()
def engine(
    tasks: Annotated[int, typer.Option(min=1000, help="Tasks of the random graph.")] = 1_000_000,
    ranks: Annotated[int, typer.Option(min=2, help="Ranks of the ring all-reduce.")] = 4096,
    flows: Annotated[
        int, typer.Option(min=1024 * 4 * 200, help="Flows over the switch, one in flight per port.")
    ] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time the engines on graphs of all kinds, beside the same work done as simply as possible."""
    from foreplan.engine_rates import engine_rates, engine_work_us, peak_bytes, start_up_s
    from hwprofiles.units import format_bytes

    rates, work_us = [], engine_work_us(repeats, tasks, ranks, flows)
    with progress("timing engines", quiet=quiet) as step:
        for rate in engine_rates(repeats, tasks, ranks, flows):
            rates.append(rate)
            step(sum(work_us[: len(rates)]), sum(work_us), rate.graph)
    ready_s, most_bytes = start_up_s(repeats), peak_bytes()
    if json:
        rows = [rate.row() for rate in rates]
        show_json({"rates": rows, "start_up_s": ready_s, "peak_bytes": most_bytes})
        return
    columns = ("simpy", "heap", "array", "bare")
    shown = [
        (
            r.graph,
            f"{r.tasks:,}",
            f"{r.first_build_s:.3f}",
            f"{r.built_frac:.2f}",
            *(f"{r.tasks_per_s[k]:,.0f}" if k in r.tasks_per_s else "" for k in columns),
            f"{r.bare_frac:.2f}" if r.bare_frac else "",
            f"{r.solves:,}" if r.solves else "",
        )
        for r in rates
    ]
    heads = ("graph", "tasks", "first built, s", "built/array", *columns, "of bare", "solves")
    table(heads, shown)
    parts = tuple(rates[0].bytes_by_part)
    held = [
        (
            r.graph,
            f"{r.bytes_tasks:,}",
            *(f"{r.bytes_by_part[part]:.1f}" for part in parts),
            f"{r.bytes_per_task:.0f}",
        )
        for r in rates
    ]
    table(("bytes a task", "tasks", *parts, "all"), held)
    out(f"start-up {ready_s:.2f} s, peak memory {format_bytes(most_bytes)}")


@app.command()
def scale(json: Json = False, quiet: Quiet = False) -> None:
    """Time collectives of 16,384 ranks and a step of 4,096 devices: one rank for all, or all."""
    from foreplan.bench_scale import SCALES, scales
    from foreplan.engine_rates import peak_bytes
    from hwprofiles.units import format_bytes, format_s

    found = []
    with progress("timing folded graphs", quiet=quiet) as step:
        for one in scales():
            found.append(one)
            step(len(found), SCALES, one.name)
    if json:
        show_json({"scales": [one.row() for one in found], "peak_bytes": peak_bytes()})
        return
    shown = [
        (
            one.name,
            f"{one.ranks:,}",
            "folded" if one.folded else "all ranks",
            f"{one.tasks:,}",
            format_s(one.build_s),
            format_s(one.simulate_s),
            format_s(one.makespan_s),
        )
        for one in found
    ]
    table(("graph", "ranks", "", "tasks", "built", "simulated", "takes"), shown)
    out(f"peak memory {format_bytes(peak_bytes())}")


@app.command()
def search(
    space: Annotated[
        str,
        typer.Option(help="wide: many values of every axis; natural: many microbatches."),
    ] = "wide",
    repeats: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 5,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Price and rank all candidates of a large search; recompute some rows one by one."""
    from foreplan.search_rates import SEARCHES, search_rates
    from hwprofiles.errors import PlanError
    from hwprofiles.registry import lookup

    asked = SEARCHES[lookup("--space", space, list(SEARCHES), error=PlanError)]
    with progress("timing the search", quiet=quiet) as step:
        rates = search_rates(asked, repeats, told=step)
    if json:
        show_json(rates.row())
        return
    out(f"{asked.model}, batch {asked.batch}, on {asked.cluster}: {rates.candidates:,} candidates")
    out(" x ".join(f"{count} {axis.replace('_', ' ')}" for axis, count in rates.axes.items()))
    rows = [(name.replace("_", " "), f"{count:,}") for name, count in rates.by_verdict.items()]
    rows += [
        ("priced: time and memory both", f"{rates.priced:,}"),
        ("rows/s a core, from factors", f"{rates.rows_per_s:,.0f}"),
        ("rows/s a core, factors built too", f"{rates.all_rows_per_s:,.0f}"),
        ("factors, s of CPU time", f"{rates.factors_s:.2f}"),
        ("of it exchanges", f"{rates.exchanges_s:.2f}"),
        ("rows equal to the scalar path", f"{rates.checked:,}"),
    ]
    table(("", "rows"), rows)


@app.command()
def plan(
    models: Annotated[
        str, typer.Option(help="Names, with commas between them; default: all of images.")
    ] = "",
    clusters: Annotated[
        str, typer.Option(help="Names, with commas between them; default: four shipped ones.")
    ] = "",
    repeats: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time `foreplan plan` as whole processes, model by model and cluster by cluster."""
    from foreplan.bench_plans import CLUSTERS, image_models, plan_times
    from hwprofiles.units import format_frac, format_s

    asked = models.split(",") if models else image_models()
    where = clusters.split(",") if clusters else CLUSTERS
    found = []
    with progress("planning", quiet=quiet) as step:
        for one in plan_times(asked, where, repeats):
            found.append(one)
            step(len(found), len(asked) * len(where), f"{one.model} on {one.cluster}")
    found.sort(key=lambda one: -one.cpu_s)
    if json:
        show_json([one.row() for one in found])
        return
    shown = [
        (
            one.model,
            one.cluster,
            f"{one.batch:,}",
            format_s(one.wall_s),
            format_s(one.cpu_s),
            f"{one.simulated}" if one.simulated else "nothing fits",
            format_frac(one.gap_frac) if one.simulated else "",
        )
        for one in found
    ]
    table(("model", "cluster", "batch", "wall", "CPU", "simulated", "gap"), shown)


@app.command()
def ops(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in turn; the median counts.")] = 9,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Classes that begin so, e.g. matmul or step; default: all."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time kernels of every backend and whole steps on one thread, beside PyTorch itself.

    "of PyTorch" is our speed over PyTorch's: above 1 we are faster. A star marks what is below the
    floor of its class.
    """
    from foreplan.op_rates import TORCH, available, measured_on, op_rates
    from hwprofiles.units import format_s

    with progress("timing ops", quiet=quiet) as step:
        rates = list(op_rates(rounds, lambda done, total: step(done, total, ""), only or ()))
    facts, backends = measured_on(), [by.name for by in available()]
    if json:
        show_json({**facts, "rounds": rounds, "rows": [rate.row() for rate in rates]})
        return
    if TORCH not in rates[0].seconds:
        note("PyTorch is not installed; pip install 'foreplan[oracle]' to compare", quiet=quiet)

    def ratio(rate: "OpRate", by: str) -> str:
        if by not in rate.of_torch:
            return ""
        return f"{rate.of_torch[by]:.2f}{'*' if by in rate.misses else ' '}"

    shown = [
        (
            f"{r.op_class}, {r.phase}" if r.phase != r.op_class else r.op_class,
            r.name,
            *(format_s(r.seconds[by]) if by in r.seconds else "" for by in (*backends, TORCH)),
            *(ratio(r, by) for by in backends),
        )
        for r in rates
    ]
    heads = (*backends, "PyTorch", *(f"{by} of PyTorch" for by in backends))
    table(("op", "layer x samples", *heads), shown)
    out(", ".join(f"{key} {value}" for key, value in facts.items() if value))
