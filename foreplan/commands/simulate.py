"""``simulate``: time a task graph from a file."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json
from foreplan.console import out, show_json


def simulate(
    path: Annotated[Path, typer.Argument(metavar="GRAPH", help="A graph.json.")],
    engine: Annotated[
        str | None, typer.Option(help="simpy, heap or array; without it, by the number of tasks.")
    ] = None,
    json: Json = False,
) -> None:
    """Check a task graph for deadlock, then simulate it."""
    from hwprofiles.errors import PlanError
    from hwprofiles.units import format_s
    from sim.checks import check_graph
    from sim.engine import ENGINES, choose, run
    from sim.graphfile import read_graph

    if engine not in (None, *ENGINES):
        raise PlanError(f"--engine {engine!r}: expected {', '.join(ENGINES)}, or nothing")
    found = read_graph(path)
    check_graph(found.graph, found.label)
    name = engine or choose(found.graph.tasks)
    timeline = run(found.graph, name)
    if json:
        show_json({"makespan_s": timeline.makespan_s, "tasks": found.graph.tasks, "engine": name})
    else:
        out(f"{found.graph.tasks} tasks: {format_s(timeline.makespan_s, 6)}")
