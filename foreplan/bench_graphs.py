"""Task graphs that the engines are measured on, emitted a column at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foreplan.machines import load_machine
from hwprofiles.units import GIB, KIB, MIB, Ints
from planner.lower import lower
from planner.model import load_model
from planner.plan import Plan, Training
from sim.blocks import Ids
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph

PORT_BYTES_PER_S = 50e9  # 400 Gbit/s
OVERHEAD_PS = 2_000_000
WINDOW = 10_000
"""How far back a task of the random graph may depend on others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One data-parallel step by a ring, with overlap."""

    model: str
    cluster: str
    workers: int
    microbatch: int
    rounds: int
    """Microbatches of each worker."""
    bucket_bytes: int

    def builder(self) -> Callable[[], TaskGraph]:
        """Return what lowers it: quicker the second time, when its model has been lowered."""
        model, machine = load_model(self.model), load_machine(self.cluster)
        plan = Plan(
            workers=self.workers,
            microbatch=self.microbatch,
            placement=tuple(range(self.workers)),
            algorithm="ring",
            bucket_bytes=self.bucket_bytes,
            overlap=True,
        )
        training = Training(batch=self.workers * self.microbatch * self.rounds)
        cluster, books = machine.cluster(self.workers), machine.books(self.workers)
        return lambda: lower(model, training, plan, cluster, books).graph


def long_step(tasks: int) -> Step:
    """Return a LeNet-5 step on four devices, with microbatches enough for about so many tasks."""
    return Step(
        model="lenet-5",
        cluster="v100-quad",
        workers=4,
        microbatch=4,
        rounds=max(1, tasks // 160),
        bucket_bytes=64 * KIB,
    )


STEPS = {
    "LeNet-5, 8 workers": Step(
        model="lenet-5",
        cluster="dgx-1-v100",
        workers=8,
        microbatch=8,
        rounds=64,
        bucket_bytes=64 * KIB,
    ),
    "BERT-large, 8 workers": Step(
        model="bert-large",
        cluster="dgx-1-v100",
        workers=8,
        microbatch=4,
        rounds=4,
        bucket_bytes=25 * MIB,
    ),
    "ResNet-50, 64 workers, small buckets": Step(
        model="resnet-50",
        cluster="dgx-1-v100:8",
        workers=64,
        microbatch=32,
        rounds=1,
        bucket_bytes=MIB,
    ),
    "ResNet-50, 64 workers": Step(
        model="resnet-50",
        cluster="dgx-1-v100:8",
        workers=64,
        microbatch=32,
        rounds=1,
        bucket_bytes=25 * MIB,
    ),
    "DenseNet-201, 128 workers": Step(
        model="densenet-201",
        cluster="dgx-1-v100:16",
        workers=128,
        microbatch=32,
        rounds=1,
        bucket_bytes=25 * MIB,
    ),
}
"""Steps as a search simulates them."""


def pipeline_graph(stages: int, microbatches: int, slots: int | None) -> TaskGraph:
    """Return stages that hand microbatches on, each to the next, into as many slots if limited."""
    builder = GraphBuilder()
    lanes = np.array([builder.lane(stage) for stage in range(stages)])
    microbatch, stage = np.divmod(np.arange(stages * microbatches), stages)
    before = np.where(stage > 0, np.arange(len(stage)) - 1, -1)
    durations_ps = 1_000_000 + 1000 * ((7 * stage + microbatch) % 11)
    if slots is None:
        builder.computes(lanes[stage], durations_ps, actor=stage, after=before)
    else:
        registers = np.array([builder.register(s, slots, 64) for s in range(stages)])
        # Each task writes one item, so items and tasks have the same numbers.
        builder.computes(
            lanes[stage], durations_ps, actor=stage, reads=before, writes=registers[stage]
        )
    return builder.build()


def random_graph(tasks: int, lanes: int, seed: int = 0) -> TaskGraph:
    """Return tasks on random lanes that follow up to two of the ``WINDOW`` tasks before them."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder()
    for lane in range(lanes):
        builder.lane(lane)
    back = rng.integers(1, WINDOW + 1, (tasks, 2), dtype=np.int32)
    after = np.arange(tasks, dtype=np.int32)[:, None] - back
    after[after < 0] = -1
    builder.computes(
        rng.integers(0, lanes, tasks, dtype=np.int32),
        rng.integers(1, 1_000_000, tasks),
        after=after,
    )
    return builder.build()


def ring_graph(ranks: int, payload_bytes: int = GIB) -> TaskGraph:
    """Return a ring all-reduce over one switch: 2 (n - 1) steps of n transfers of 1/n each.

    A transfer waits for the chunk that came in the step before, and holds the sending side of one
    port and the receiving side of the next.
    """
    builder = _switch(ranks)
    for end in range(2 * ranks):
        builder.lane(end % ranks)
    rank = np.arange(ranks, dtype=np.int32)
    following = np.roll(rank, -1)
    routes = builder.paths(np.stack([rank, ranks + following], axis=1))
    steps = 2 * (ranks - 1)
    after = np.arange(steps * ranks, dtype=np.int32).reshape(steps, ranks) - ranks
    after = np.roll(after, 1, axis=1)
    after[0] = -1
    builder.transfers(
        np.tile(np.stack([rank, ranks + following], axis=1), (steps, 1)),
        OVERHEAD_PS,
        payload_bytes=-(-payload_bytes // ranks),
        route=np.tile(routes, steps),
        after=after.reshape(-1),
    )
    return builder.build()


def traffic(ports: int, in_flight: int, flows: int, seed: int = 0) -> tuple[Ids, Ints]:
    """Return destination and bytes of random flows, port by port, place by place."""
    rng = np.random.default_rng(seed)
    each = flows // (ports * in_flight)
    source = np.repeat(np.arange(ports), in_flight * each)
    hop = rng.integers(1, ports, len(source))
    destination = ((source + hop) % ports).astype(np.int32)
    return destination, rng.integers(1 << 10, 1 << 20, len(source))


def traffic_graph(ports: int, in_flight: int, destination: Ids, payload_bytes: Ints) -> TaskGraph:
    """Return these flows over one switch; those of one place in flight take turns on its lane."""
    builder = _switch(ports)
    places = ports * in_flight
    lanes = np.array([builder.lane(place // in_flight) for place in range(places)])
    place = np.repeat(np.arange(places), len(destination) // places)
    routes = builder.paths(np.stack([place // in_flight, ports + destination], axis=1))
    builder.transfers(lanes[place], 0, payload_bytes=payload_bytes, route=routes)
    return builder.build()


def all_to_all_graph(ports: int, payload_bytes: int) -> TaskGraph:
    """Return a flow from each port to each other one, all at once."""
    builder = _switch(ports)
    source, hop = np.divmod(np.arange(ports * (ports - 1)), ports - 1)
    lanes = np.array([builder.lane(int(port)) for port in source])
    destination = (source + 1 + hop) % ports
    routes = builder.paths(np.stack([source, ports + destination], axis=1))
    builder.transfers(lanes, 0, payload_bytes=payload_bytes, route=routes)
    return builder.build()


def _switch(ports: int) -> GraphBuilder:
    """Begin with a switch: link ``port`` leads into it, ``ports + port`` out of it."""
    builder = GraphBuilder()
    for _ in range(2 * ports):
        builder.link(PORT_BYTES_PER_S)
    return builder
