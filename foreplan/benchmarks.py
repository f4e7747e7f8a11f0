"""What ``foreplan bench`` measures: medians over repeats, beside exact counts of the work done."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from foreplan.machines import load_machine
from planner.lower import lower
from planner.model import load_model
from planner.plan import Plan, Training
from planner.search import candidates
from planner.table import price
from sim import heap_engine, simpy_engine
from sim.taskgraph import GraphBuilder, TaskGraph

CLUSTER = "v100-quad"


def median_s(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of ``run``, seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def step_graph(tasks: int) -> TaskGraph:
    """Return a LeNet-5 step on four devices, with enough microbatches for about ``tasks`` tasks."""
    model = load_model("lenet-5")
    rounds = max(1, tasks // 160)
    machine = load_machine(CLUSTER)
    plan = Plan(
        workers=4,
        microbatch=4,
        placement=(0, 1, 2, 3),
        algorithm="ring",
        bucket_bytes=65536,
        overlap=True,
    )
    training = Training(batch=16 * rounds)
    return lower(model, training, plan, machine.cluster(4), machine.books(4)).graph


def pipeline_graph(tasks: int) -> TaskGraph:
    """Return 50 stages that hand microbatches on, each to the next: about ``tasks`` tasks."""
    builder = GraphBuilder()
    stages = 50
    lanes = [builder.lane(stage) for stage in range(stages)]
    registers = [builder.register(stage, slots=2, slot_bytes=64) for stage in range(stages)]
    for microbatch in range(tasks // stages):
        before: list[tuple[int, int]] = []
        for stage in range(stages):
            task = builder.compute(
                [lanes[stage]],
                1_000_000 + 1000 * ((7 * stage + microbatch) % 11),
                actor=stage,
                reads=before,
                writes=[registers[stage]],
            )
            before = [(task, registers[stage])]
    return builder.build()


def engine_rates(tasks: int, repeats: int) -> list[dict[str, Any]]:
    """Tasks a second of each engine on each graph."""
    found = []
    for graph_name, graph in (("step", step_graph(tasks)), ("pipeline", pipeline_graph(tasks))):
        for name, engine in (("heap", heap_engine), ("simpy", simpy_engine)):
            seconds = median_s(lambda e=engine, g=graph: e.simulate(g), repeats)  # type: ignore[misc]
            rate = graph.tasks / seconds
            found.append(
                {"graph": graph_name, "engine": name, "tasks": graph.tasks, "tasks_per_s": rate}
            )
    return found


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
