"""What ``foreplan bench engine`` measures: medians over repeats, beside exact counts of work."""

import gc
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from foreplan import bench_graphs, yardsticks
from foreplan.bench_graphs import PORT_BYTES_PER_S, STEPS, long_step
from hwprofiles.units import KIB, Ints
from sim import array_engine, engine
from sim.arrays.layout import children, intern, turn
from sim.taskgraph import TaskGraph

SMALL_TASKS = 20_000
"""About how many tasks the graphs have that all engines run."""
PORTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRates:
    """Tasks a second of each engine on one graph."""

    graph: str
    tasks: int
    first_build_s: float
    """CPU time of building the graph the first time: of a step, for the first of its model."""
    build_s: float
    """The same of later times: the median."""
    tasks_per_s: Mapping[str, float]
    """By engine; ``bare`` is the yardstick."""
    bare_frac: float | None
    """Rate of the array engine over that of the yardstick: the median of runs in turn."""
    bytes_tasks: int
    """Tasks of the graph that bytes were counted of: of few flows in flight more than were timed,
    else lanes and links would count for more than tasks."""
    bytes_per_task: float
    """Graph, state and timeline of the array engine."""
    bytes_by_part: Mapping[str, float]
    """The same, by what it is for; ``fabric`` does not grow with tasks."""
    solves: int
    """Components of flows that the array engine solved."""

    @property
    def built_frac(self) -> float:
        """Time of building over that of simulating by the array engine."""
        return self.build_s * self.tasks_per_s["array"] / self.tasks

    def row(self) -> dict[str, Any]:
        """Return the fields, and how building compares."""
        return asdict(self) | {"built_frac": self.built_frac}


def median_s(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of ``run``, seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def engine_rates(
    repeats: int, random_tasks: int, ring_ranks: int, flows: int
) -> Iterator[EngineRates]:
    """Measure the engines on graphs of all kinds, one after the other."""
    for entry in (turn, intern, array_engine.run, yardsticks.share_ports):
        entry.load()
    every = ("simpy", "heap", "array")
    pipeline = partial(bench_graphs.pipeline_graph, 50, SMALL_TASKS // 50, 2)
    yield _rates("LeNet-5, 4 workers", long_step(SMALL_TASKS).builder(), every, repeats)
    yield _rates("50 stages x 400, 2 slots", pipeline, every, repeats)
    random = partial(bench_graphs.random_graph, random_tasks, 1000)
    yield _rates(
        "random, 1000 lanes", random, ("array",), repeats, partial(list_schedule, random())
    )
    stages = partial(bench_graphs.pipeline_graph, 500, 100, None)
    yield _rates("500 stages x 100", stages, ("array",), repeats, partial(list_schedule, stages()))
    ring = partial(bench_graphs.ring_graph, ring_ranks)
    yield _rates(f"ring over {ring_ranks} ranks", ring, ("array",), 1)
    for in_flight, share in ((1, 1), (2, 200), (4, 200)):
        traffic = bench_graphs.traffic(PORTS, in_flight, flows // share)
        graph = partial(bench_graphs.traffic_graph, PORTS, in_flight, *traffic)
        bare = partial(share_ports, in_flight, *traffic)
        every_flow = bench_graphs.traffic(PORTS, in_flight, flows)
        full = partial(bench_graphs.traffic_graph, PORTS, in_flight, *every_flow)
        name = f"{PORTS} ports, {in_flight} in flight"
        yield _rates(name, graph, ("array",), repeats, bare, full)
    for name, step in STEPS.items():
        yield _rates(name, step.builder(), ("array",), repeats)


def engine_work_us(repeats: int, random_tasks: int, ring_ranks: int, flows: int) -> list[int]:
    """Return about how long each graph of ``engine_rates`` takes: what progress is weighed by.

    Figures are microseconds a task of all engines and the yardstick, once, on one core of a Xeon;
    only their ratios count. Many flows in flight are solved together, so each costs as much more.
    """
    small, shared = SMALL_TASKS * repeats, flows // 200 * repeats
    ring_tasks = 2 * (ring_ranks - 1) * ring_ranks
    graphs = [(small, 27), (small, 105), (random_tasks * repeats, 0.55), (50_000 * repeats, 0.25)]
    graphs += [(ring_tasks, 0.27), (flows * repeats, 1.7), (shared, 160), (shared, 340)]
    steps = [(18_000, 0.4), (34_000, 0.5), (455_000, 0.6), (78_000, 0.6), (441_000, 0.6)]
    graphs += [(tasks * (repeats + 1), us) for tasks, us in steps]
    return [round(tasks * us) for tasks, us in graphs]


def list_schedule(graph: TaskGraph) -> tuple[Ints, Ints]:
    """Run the yardstick of graphs without flows; return start and end of every task."""
    start_ps = np.empty(graph.tasks, dtype=np.int64)
    turned = children(graph.dep_ptr, graph.dep_idx, start_ps)
    tasks_of_lane = np.bincount(graph.lane_idx, minlength=len(graph.lane_device))
    base = np.concatenate([[0], np.cumsum(tasks_of_lane)]).astype(np.int32)
    end_ps = yardsticks.list_schedule(*turned, start_ps, graph.duration_ps, graph.lane_idx, base)
    return start_ps, end_ps


def share_ports(in_flight: int, destination: Any, payload_bytes: Any) -> yardsticks.Ports:
    """Run the yardstick of flows; return its state, which holds the ends."""
    switch = yardsticks.ports(PORTS, in_flight, destination, payload_bytes, PORT_BYTES_PER_S)
    yardsticks.share_ports(switch)
    return switch


def _rates(
    name: str,
    build: Callable[[], TaskGraph],
    engines: tuple[str, ...],
    repeats: int,
    bare: Callable[[], object] | None = None,
    full: Callable[[], TaskGraph] | None = None,
) -> EngineRates:
    """Time engines and yardstick in turn, and in CPU time: a busy machine distorts that least.

    Bytes are those of the graph that ``full`` builds, if it is not the one that is timed.
    """
    start = time.process_time()
    graph = build()
    builds_s = [time.process_time() - start]
    runs: dict[str, Callable[[], Any]] = {key: partial(engine.run, graph, key) for key in engines}
    runs["array"] = partial(array_engine.simulate_counted, graph)
    if bare:
        runs["bare"] = bare
    if repeats > 1:
        runs["build"] = build
    found: dict[str, list[float]] = {key: [] for key in runs}
    gc.freeze()  # Numba's objects, searched again and again, would halve the rate of plain Python
    for _ in range(repeats):
        for key, run in runs.items():
            start = time.process_time()
            result = run()
            found[key].append(time.process_time() - start)
            if key == "array":
                counts = result[1]
    fracs = [b / a for a, b in zip(found["array"], found.get("bare", ()), strict=False)]
    builds_s += found.pop("build", [])
    filled = full() if full else graph
    held = array_engine.held_bytes(filled) if full else counts.held_bytes
    return EngineRates(
        graph=name,
        tasks=graph.tasks,
        first_build_s=builds_s[0],
        build_s=statistics.median(builds_s[1:] or builds_s),
        tasks_per_s={key: graph.tasks / statistics.median(s) for key, s in found.items()},
        bare_frac=statistics.median(fracs) if fracs else None,
        bytes_tasks=filled.tasks,
        bytes_per_task=sum(held.values()) / filled.tasks,
        bytes_by_part={part: size / filled.tasks for part, size in held.items()},
        solves=counts.solves,
    )


START_UP = """
from sim import array_engine
from sim.graphbuilder import GraphBuilder
builder = GraphBuilder()
builder.compute([builder.lane(0)], 1)
array_engine.simulate(builder.build())
"""
"""A whole program that runs the array engine."""


def start_up_s(repeats: int) -> float:
    """Return how long a new process takes until the array engine, compiled before, has run."""
    command = [sys.executable, "-c", START_UP]
    return median_s(lambda: subprocess.run(command, check=True), repeats)


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
