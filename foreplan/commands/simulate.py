"""``simulate``: time a task graph from a file."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json
from foreplan.console import out, show_json


def simulate(
    path: Annotated[Path, typer.Argument(metavar="GRAPH", help="A graph.json.")],
    engine: Annotated[str, typer.Option(help="heap or simpy.")] = "heap",
    json: Json = False,
) -> None:
    """Check a task graph for deadlock, then simulate it."""
    from hwprofiles.errors import PlanError
    from hwprofiles.units import format_s
    from sim import heap_engine, simpy_engine
    from sim.checks import check_graph
    from sim.graphfile import read_graph

    engines = {"heap": heap_engine.simulate, "simpy": simpy_engine.simulate}
    if engine not in engines:
        raise PlanError(f"--engine {engine!r}: expected heap or simpy")
    found = read_graph(path)
    check_graph(found.graph, found.label)
    timeline = engines[engine](found.graph)
    if json:
        show_json({"makespan_s": timeline.makespan_s, "tasks": found.graph.tasks})
    else:
        out(f"{found.graph.tasks} tasks: {format_s(timeline.makespan_s, 6)}")
