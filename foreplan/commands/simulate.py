"""``simulate``: time a task graph from a file, or a plan's step among stragglers and slow links."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import Json, Quiet
from foreplan.console import out, progress, show_json, table

if TYPE_CHECKING:
    from planner.disturbed import DisturbedRuns
    from sim.graphfile import GraphFile


def simulate(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A graph.json, or a plan file.")],
    engine: Annotated[
        str | None, typer.Option(help="simpy, heap or array; without it, by the number of tasks.")
    ] = None,
    pick: Annotated[int, typer.Option(help="Which plan of a plan file.")] = 0,
    straggler: Annotated[
        list[str] | None,
        typer.Option(help="WORKER=FACTOR, or a share by which all are late at random, e.g. 0.1."),
    ] = None,
    degrade: Annotated[
        list[str] | None, typer.Option(help="LINK=FACTOR or LINK=FACTOR@TIME, e.g. pcie-3-x16=0.5.")
    ] = None,
    fail: Annotated[
        list[str] | None, typer.Option(help="LINK or LINK@TIME, e.g. '0->1@2ms'.")
    ] = None,
    traffic: Annotated[
        list[str] | None, typer.Option(help="LINK=SHARE that another job wants of it, e.g. 0.3.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=100_000, help="Runs, each with its draws.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a task graph for deadlock and simulate it; or a plan, disturbed, many times."""
    from foreplan.disturbing import is_plan, simulate_plan, trouble_of
    from hwprofiles.errors import PlanError
    from sim.engine import ENGINES
    from sim.graphfile import read_graph

    if engine not in (None, *ENGINES):
        raise PlanError(f"--engine {engine!r}: expected {', '.join(ENGINES)}, or nothing")
    trouble = trouble_of(straggler or (), degrade or (), fail or (), traffic or ())
    if not is_plan(path):
        if trouble != trouble_of() or runs > 1:
            found_there = "a task graph" if path.is_file() else "no file"
            raise PlanError(
                f"{path}: expected a plan file, whose workers and links have names, got"
                f" {found_there}; give a plan file, or no disturbances"
            )
        _graph(read_graph(path), engine, json=json)
        return
    with progress("simulating", quiet=quiet or json) as step:
        found = simulate_plan(
            path,
            pick,
            trouble,
            runs=runs,
            seed=seed,
            progress=lambda done, total: step(done, total, ""),
        )
    if json:
        show_json(found)
    else:
        _show(found)
        if fail:
            _show_rerouted(found)


def _graph(found: "GraphFile", engine: str | None, *, json: bool) -> None:
    from hwprofiles.units import format_s
    from sim.checks import check_graph
    from sim.engine import choose, run

    check_graph(found.graph, found.label)
    name = engine or choose(found.graph.tasks)
    timeline = run(found.graph, name)
    if json:
        show_json({"makespan_s": timeline.makespan_s, "tasks": found.graph.tasks, "engine": name})
    else:
        out(f"{found.graph.tasks} tasks: {format_s(timeline.makespan_s, 6)}")


def _show(found: "DisturbedRuns") -> None:
    from hwprofiles.units import format_s

    count = f"{found.runs} run{'s' * (found.runs > 1)}"
    out(f"undisturbed {format_s(found.undisturbed_s)}; {count}, seed {found.seed}")
    if found.p50_s is not None and found.p95_s is not None and found.p99_s is not None:
        parts = {"P50": found.p50_s, "P95": found.p95_s, "P99": found.p99_s}
        rows = [
            (name, format_s(step_s), f"{step_s / found.undisturbed_s:.2f}")
            for name, step_s in parts.items()
        ]
        table(("step", "time", "of undisturbed"), rows)
        waits = [(r, sum(row), row) for r, row in enumerate(found.waits_s) if sum(row)]
        longest = sorted(waits, key=lambda wait: -wait[1])[:MOST_WAITS]
        shown = [
            (str(rank), format_s(total), str(max(range(len(row)), key=row.__getitem__)))
            for rank, total, row in longest
        ]
        if shown:
            table(("worker", "waits a step", "most for"), shown)
    if found.stop:
        out(f"{found.stopped} of {count} stopped: {found.stop}")


def _show_rerouted(found: "DisturbedRuns") -> None:
    """Say what went round the wires that failed."""
    rows = [
        (
            f"{one.src} -> {one.dst}",
            ", ".join(one.failed),
            ", ".join(one.over),
            str(one.transfers),
        )
        for one in found.rerouted
    ]
    if rows:
        table(("re-routed", "past", "over", "transfers"), rows[:MOST_ROUTES])
    if len(rows) > MOST_ROUTES:
        out(f"and {len(rows) - MOST_ROUTES} more routes; --json has all")
    if not rows and not found.stop:
        out("nothing was re-routed: no transfer met a wire that had failed")


MOST_WAITS = 8
"""Workers whose waiting is shown, the longest first."""
MOST_ROUTES = 8
"""Routes that are shown of those that were left, most transfers first."""
