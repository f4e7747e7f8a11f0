"""What ``foreplan bench`` measures: medians over repeats, beside exact counts of the work done."""

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
from foreplan.bench_graphs import CLUSTER, PORT_BYTES_PER_S, step_graph
from foreplan.machines import load_machine
from hwprofiles.units import KIB
from planner.model import load_model
from planner.plan import Training
from planner.search import candidates
from planner.table import price
from sim import array_engine, engine
from sim.taskgraph import TaskGraph

SMALL_TASKS = 20_000
"""About how many tasks the graphs have that all engines run."""
PORTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRates:
    """Tasks a second of each engine on one graph."""

    graph: str
    tasks: int
    build_s: float
    tasks_per_s: Mapping[str, float]
    """By engine; ``bare`` is the yardstick."""
    bare_frac: float | None
    """Rate of the array engine over that of the yardstick: the median of runs in turn."""
    bytes_per_task: float
    """Graph, state and timeline of the array engine."""
    solves: int
    """Components of flows that the array engine solved."""

    def row(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


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
    every = ("simpy", "heap", "array")
    pipeline = partial(bench_graphs.pipeline_graph, 50, SMALL_TASKS // 50, 2)
    yield _rates("LeNet-5 step", partial(step_graph, SMALL_TASKS), every, repeats)
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
        yield _rates(f"{PORTS} ports, {in_flight} in flight", graph, ("array",), repeats, bare)


def list_schedule(graph: TaskGraph) -> object:
    """Run the yardstick of graphs without flows."""
    tasks_of_lane = np.bincount(graph.lane_idx, minlength=len(graph.lane_device))
    base = np.concatenate([[0], np.cumsum(tasks_of_lane)]).astype(np.int32)
    return yardsticks.list_schedule(
        graph.dep_ptr, graph.dep_idx, graph.duration_ps, graph.lane_idx, base
    )


def share_ports(in_flight: int, destination: Any, payload_bytes: Any) -> yardsticks.Ports:
    """Run the yardstick of flows; return its state, which holds the ends."""
    switch = yardsticks.ports(PORTS, in_flight, destination, payload_bytes, PORT_BYTES_PER_S)
    yardsticks.share_ports(tuple(switch))
    return switch


def _rates(
    name: str,
    build: Callable[[], TaskGraph],
    engines: tuple[str, ...],
    repeats: int,
    bare: Callable[[], object] | None = None,
) -> EngineRates:
    """Time engines and yardstick in turn, and in CPU time: a busy machine distorts that least."""
    start = time.process_time()
    graph = build()
    build_s = time.process_time() - start
    runs: dict[str, Callable[[], Any]] = {key: partial(engine.run, graph, key) for key in engines}
    runs["array"] = partial(array_engine.simulate_counted, graph)
    if bare:
        runs["bare"] = bare
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
    return EngineRates(
        graph=name,
        tasks=graph.tasks,
        build_s=build_s,
        tasks_per_s={key: graph.tasks / statistics.median(s) for key, s in found.items()},
        bare_frac=statistics.median(fracs) if fracs else None,
        bytes_per_task=counts.held_bytes / graph.tasks,
        solves=counts.solves,
    )


def start_up_s(repeats: int) -> float:
    """Return how long a new process takes until the array engine is there, compiled before."""
    command = [sys.executable, "-c", "import sim.array_engine"]
    return median_s(lambda: subprocess.run(command, check=True), repeats)


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def search_rate(repeats: int) -> dict[str, float]:
    """Candidates a second that the plan table prices: verdict, memory, bound, closed form."""
    model, training = load_model("lenet-5"), Training(batch=720_720)
    machine = load_machine(CLUSTER)
    plans = candidates(model, training, machine.devices, {})
    table = price(model, training, plans, machine)
    seconds = median_s(lambda: price(model, training, plans, machine), repeats)
    return {
        "candidates": len(plans),
        "that fit": len(table.feasible),
        "candidates/s": len(plans) / seconds,
    }
