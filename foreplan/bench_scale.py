"""What ``foreplan bench scale`` measures: collectives and a step of thousands of ranks, folded."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwprofiles.units import GIB, Floats, Ints
from planner.fold_step import Ports, fold_step
from planner.folding import Fabric, Folded, fold_exchange
from planner.model import load_model
from planner.network import flat_network
from planner.plan import Plan, Training
from sim.engine import simulate
from sim.fold import Ways
from sim.taskgraph import TaskGraph

SCALES = 3
"""That ``scales`` yields."""
RANKS, NODE = 16_384, 8
INSIDE_BYTES_PER_S, ACROSS_BYTES_PER_S = 450e9, 50e9
"""Of a port of the switch in a node, and of a NIC; each way."""
OVERHEAD_PS = 2_000_000
STEP = ("resnet-50", 32, 4096, "infiniband-ndr-400g", "h100-sxm5-80g")
"""Model, samples a worker, workers, link, device of the step that is timed."""
STEP_ALGORITHM, BUCKET_BYTES = "hierarchical_halving:8", 25 << 20


class Rails:
    """Nodes with a switch inside; rank i of every node at one switch of its own that never blocks.

    Rank r has four links: into and out of the switch of its node, into and out of its rail.
    """

    holds_compute = False

    def __init__(self, ranks: int, node: int) -> None:
        self.node = node
        rates = np.array([INSIDE_BYTES_PER_S] * 2 + [ACROSS_BYTES_PER_S] * 2)
        self.link_bytes_per_s: Floats = np.tile(rates, ranks)

    def ways(self, src: Ints, dst: Ints, payload_bytes: int, label: str) -> Ways:
        """Return the routes, by the switch of the node or by the rail."""
        del payload_bytes
        across = np.where(src // self.node == dst // self.node, 0, 2)
        return Ways(
            label=label,
            links=np.stack([4 * src + across, 4 * dst + across + 1], axis=1),
            overhead_ps=np.full(len(src), OVERHEAD_PS),
            cap_bytes_per_s=np.full(len(src), np.inf),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long one graph takes from nothing to its timeline."""

    name: str
    ranks: int
    tasks: int
    folded: bool
    build_s: float
    """Emitted, checked, and unfolded where it is; CPU time."""
    simulate_s: float
    makespan_s: float
    """What is found: the simulated time."""

    def row(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def add_ps(rank: int, elements: int) -> int:
    """Time of an addition: three times its bytes at 3 TB/s, picoseconds."""
    del rank
    return 4 * elements


def scales(payload_bytes: int = GIB) -> Iterator[Scale]:
    """Measure everything, one after the other."""
    elements, rails = payload_bytes // 4, Rails(RANKS, NODE)
    for name, whole in ((f"hierarchical:{NODE}", False), (f"hierarchical_halving:{NODE}", True)):
        yield _timed(name, elements, rails, whole=whole)
    yield step_scale()


def _timed(name: str, elements: int, fabric: Fabric, *, whole: bool) -> Scale:
    def build() -> TaskGraph:
        folded: Folded = fold_exchange(name, elements, fabric, RANKS, add_ps)
        return folded.unfold() if whole else folded.graph

    return _scale(name, RANKS, build, folded=not whole)


def step_scale() -> Scale:
    """Measure a data-parallel step of thousands of devices."""
    model, samples, workers, link, device = STEP
    cluster = flat_network(link, device, workers).cluster(2)
    graph = load_model(model)
    plan = Plan(
        workers=workers,
        microbatch=samples,
        placement=tuple(range(workers)),
        algorithm=STEP_ALGORITHM,
        bucket_bytes=BUCKET_BYTES,
        overlap=True,
    )
    training = Training(batch=samples * workers)
    return _scale(
        f"{model} step",
        workers,
        lambda: fold_step(graph, training, plan, Ports(cluster, workers), cluster),
        folded=True,
    )


def _scale(name: str, ranks: int, build: Callable[[], TaskGraph], *, folded: bool) -> Scale:
    start = time.process_time()
    graph = build()
    built = time.process_time()
    timeline = simulate(graph)
    return Scale(
        name=name,
        ranks=ranks,
        tasks=graph.tasks,
        folded=folded,
        build_s=built - start,
        simulate_s=time.process_time() - built,
        makespan_s=timeline.makespan_s,
    )
