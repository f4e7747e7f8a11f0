"""Small real models, clusters and plans at random, and an order-blind way to run a task graph."""

import random
from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.device import Device, OpCurve
from hwprofiles.link import Link
from planner.algorithms import algorithm_names, is_switched, numbered_names
from planner.build import BlockBuilder, Rows, Value, chain
from planner.cost import holds_compute
from planner.inputs import Feed
from planner.layer import INPUT
from planner.lower import lower
from planner.lowering import Lowering, Passes
from planner.machine import Machine
from planner.microbatch import Microbatch
from planner.model import Block, ModelGraph
from planner.models import bert, gnmt, gpt
from planner.opcall import DTYPE_BYTES
from planner.plan import Plan, Training
from planner.program import Program
from planner.space import Constraints, plan_space
from sim.taskgraph import TaskGraph
from tests.shipped import shipped

ALGORITHMS = tuple(algorithm_names())
NUMBERED = tuple(name for name in numbered_names() if not is_switched(name))
"""They choose their numbers by the number of ranks."""
BY_SIZE = ("double_binary_tree@20@ring", "star@40@halving_doubling")
"""They take turns within the buckets of small models."""
OP_CLASSES = ("add", "load", "sgd", "softmax", "tanh_forward", "linear_weight_grad", "flatten")
BANDWIDTHS = (0.3e9, 1e9, 7e9, 50e9)
LATENCIES_S = (0.0, 1e-7, 3.3e-6, 5e-5)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question and one of its plans."""

    model: ModelGraph
    training: Training
    plan: Plan
    machine: Machine

    @property
    def cluster(self) -> Cluster:
        return self.machine.cluster(self.plan.workers)

    @property
    def books(self):
        return self.machine.books(self.plan.workers)

    @property
    def holds(self) -> bool:
        return holds_compute(self.cluster, self.plan.placement)

    def lower(self) -> Program:
        return lower(self.model, self.training, self.plan, self.cluster, self.books)


def device(*, holds: bool = False, memory_bytes: int = 1 << 34, launch_s: float = 1e-6, curves=()):
    return Device(
        name="cpu core" if holds else "gpu",
        kind="cpu" if holds else "gpu",
        memory_bytes=memory_bytes,
        memory_bytes_per_s=20e9,
        peak_flop_per_s={"float32": 50e9, "float64": 25e9},
        launch_overhead_s=launch_s,
        transfers_hold_compute=holds,
        curves=dict(curves),
    )


def link(bandwidth: float = 1e9, latency_s: float = 1e-6, *, ramp_s: float = 0.0, cap=float("inf")):
    overheads = ((0.0, latency_s), (65536.0, latency_s + ramp_s))
    return Link(
        name="wire",
        bandwidth_bytes_per_s=bandwidth,
        overheads=overheads,
        flow_cap_bytes_per_s=cap,
    )


def edges_of(fabric: str, devices: int) -> list[tuple[int | str, int | str]]:
    """Directed edges: a wire for each pair, a switch, or a line whose inner wires are shared."""
    if fabric == "mesh":
        return [(a, b) for a in range(devices) for b in range(devices) if a != b]
    if fabric == "switch":
        return [e for a in range(devices) for e in ((a, "hub"), ("hub", a))]
    return [e for a in range(devices - 1) for e in ((a, a + 1), (a + 1, a))]


def cluster_of(kind: Device, devices: int, fabric: str, wires) -> Cluster:
    """``wires``: one link for all edges, or one for each."""
    edges = edges_of(fabric, devices)
    each = wires if isinstance(wires, list) else [wires] * len(edges)
    joined = [(a, b, w) for (a, b), w in zip(edges, each, strict=True)]
    return Cluster.from_edges("small", [kind] * devices, joined)


def machine_of(cluster: Cluster) -> Machine:
    books = {d.name: CostBook(device=d, ops={}) for d in cluster.devices}
    return Machine(name="small", clusters={0: cluster}, cost_books={0: books}, identities={})


def small_machine(devices: int = 3, *, holds: bool = False, **changes) -> Machine:
    return machine_of(cluster_of(device(holds=holds, **changes), devices, "mesh", link()))


def candidates(
    model: ModelGraph, training: Training, devices: int, fixed=None, shaped=lambda workers: ()
) -> list[Plan]:
    """Every plan on the first devices that agrees with ``fixed``."""
    constraints = Constraints(fixed=fixed or {})
    space = plan_space(model, training, devices, constraints=constraints, shaped=shaped)
    return list(space.plans())


@cache
def tiny_convnet() -> ModelGraph:
    """Every layer kind, 3x3 records, 128 parameters."""
    rows: Rows = [
        ("c1", "conv2d", {"channels": 2, "kernel": 3}),
        ("c1_tanh", "tanh", {}),
        ("pool", "avg_pool", {"window": 2}),
        ("flat", "flatten", {}),
        ("h", "linear", {"features": 5}),
        ("h_tanh", "tanh", {}),
        ("output", "linear", {"features": 3}),
    ]
    return ModelGraph(name="tiny", blocks=chain((1, 6, 6), rows), record_shape=(3, 3), classes=3)


@cache
def tiny_decoder() -> ModelGraph:
    """A decoder of one block on texts of 3 tokens, its table tied, with dropout."""
    variant = gpt.Variant(blocks=1, features=4, heads=2, positions=5, vocab=17, dropout=10)
    return gpt.decoder("tiny-gpt", variant, 3)


@cache
def tiny_encoder() -> ModelGraph:
    """An encoder of one block with both heads, on texts of 8 tokens, 2 of them masked."""
    variant = bert.Variant(blocks=1, features=4, heads=2, dropout=0)
    return bert.encoder("tiny-bert", variant, 8, vocab=17, positions=9)


@cache
def tiny_translator() -> ModelGraph:
    """Sentences of 3 tokens, LSTMs both ways, a table that two embeddings share, dropout."""
    return gnmt.translator("tiny-gnmt", gnmt.Variant(features=4, vocab=17, dropout=10), 3)


@st.composite
def chain_models(draw: st.DrawFn) -> ModelGraph:
    """Chains of a few layers, some of which begin with layers without parameters."""
    rows: list[tuple[str, str, dict[str, int]]] = []
    if maps := draw(st.booleans()):
        rows += [(f"t{i}", "tanh", {}) for i in range(draw(st.integers(0, 1)))]
        if draw(st.booleans()):
            rows.append(("c", "conv2d", {"channels": draw(st.integers(1, 3)), "kernel": 3}))
        if draw(st.booleans()):
            rows.append(("p", "avg_pool", {"window": 2}))
        rows.append(("flat", "flatten", {}))
    for i in range(draw(st.integers(0, 3))):
        features = draw(st.integers(1, 40))
        rows.append((f"h{i}", "linear", {"features": features}) if draw(st.booleans()) else ())
        rows[-1] = rows[-1] or (f"a{i}", "tanh", {})
    rows.append(("out", "linear", {"features": 3}))
    shape = (1, 6, 6) if maps else (9,)
    return ModelGraph(name="chain", blocks=chain(shape, rows), record_shape=(3, 3), classes=3)


MAP_KINDS = ("conv", "norm", "relu", "dropout", "tanh", "add", "concat", "gate", "max_pool", "lrn")


@st.composite
def branched_models(draw: st.DrawFn) -> ModelGraph:
    """Graphs of layers on 4x4 maps: outputs that several read, sums, gates, work in place."""
    b = BlockBuilder(Value(INPUT, (2, 4, 4)))
    values = [b.input]
    for i in range(draw(st.integers(1, 7))):
        x, kind = draw(st.sampled_from(values)), draw(st.sampled_from(MAP_KINDS))
        other = draw(st.sampled_from([v for v in values if v.shape == x.shape]))
        if kind == "conv":
            attrs = {"groups": draw(st.sampled_from([1, 2])), "bias": draw(st.integers(0, 1))}
            y = b.conv(f"l{i}", x, draw(st.sampled_from([2, 4])), 3, pad=1, **attrs)
        elif kind in ("add", "concat"):
            y = b.layer(f"l{i}", kind, x, other)
        elif kind == "gate":
            s = b.layer(f"squeeze{i}", "avg_pool", other, window=4)
            y = b.layer(f"l{i}", "gate", x, b.layer(f"sigmoid{i}", "sigmoid", s))
        elif kind == "max_pool":
            y = b.layer(f"l{i}", kind, x, window=3, stride=1, pad=1)
        else:
            y = b.layer(f"l{i}", {"norm": "batch_norm"}.get(kind, kind), x)
        values.append(y)
    read = {name for layer in b.layers for name in layer.inputs}
    unread = [v for v in values if v.name not in read]
    last = b.layer("join", "concat", *unread) if len(unread) > 1 else unread[0]
    b.layer("out", "linear", b.layer("flat", "flatten", last), features=3)
    block = Block(name="", layers=tuple(b.layers))
    return ModelGraph(name="branched", blocks=(block,), record_shape=(4, 4), classes=3)


def models() -> st.SearchStrategy[ModelGraph]:
    known = st.sampled_from([shipped("lenet-5"), shipped("mlp")])
    text = st.sampled_from([tiny_decoder(), tiny_encoder(), tiny_translator()])
    return st.one_of(known, text, chain_models(), branched_models())


@st.composite
def devices_at_random(draw: st.DrawFn, holds: bool) -> Device:
    """Rates of single op classes vary by orders, so that anything may be the bottleneck."""
    some = draw(st.lists(st.sampled_from(OP_CLASSES), unique=True, max_size=3))
    curves = {
        f"{name}/float32": OpCurve(
            flop_per_s=draw(st.sampled_from([1e8, 1e10, 1e13])),
            bytes_per_s=draw(st.sampled_from([1e8, 1e10, 1e12])),
        )
        for name in some
    }
    launch_s = draw(st.sampled_from([0.0, 1e-6, 2e-5]))
    return device(holds=holds, launch_s=launch_s, curves=curves)


def links_at_random() -> st.SearchStrategy[Link]:
    return st.builds(
        link,
        st.sampled_from(BANDWIDTHS),
        st.sampled_from(LATENCIES_S),
        ramp_s=st.sampled_from([0.0, 1e-6]),
        cap=st.sampled_from([float("inf"), 2e9]),
    )


@st.composite
def machines(
    draw: st.DrawFn, holds: bool | None = None, fabrics=("mesh", "switch", "line"), equal=False
) -> Machine:
    """Two to four equal devices; ``equal`` links too."""
    holds = draw(st.booleans()) if holds is None else holds
    kind, devices = draw(devices_at_random(holds)), draw(st.integers(2, 4))
    fabric = draw(st.sampled_from(fabrics))
    count = len(edges_of(fabric, devices))
    if equal or draw(st.booleans()):
        return machine_of(cluster_of(kind, devices, fabric, draw(links_at_random())))
    wires = [draw(links_at_random()) for _ in range(count)]
    return machine_of(cluster_of(kind, devices, fabric, wires))


@st.composite
def plans(draw: st.DrawFn, model: ModelGraph, devices: int, rounds=(1, 2, 3, 4)):
    """Return a training question and a plan that divides its batch."""
    workers, microbatch = draw(st.integers(1, devices)), draw(st.integers(1, 3))
    training = Training(batch=workers * microbatch * draw(st.sampled_from(rounds)))
    whole = model.parameter_count * DTYPE_BYTES[training.dtype]
    slots = st.integers(1, 3)
    plan = Plan(
        workers=workers,
        microbatch=microbatch,
        placement=tuple(draw(st.permutations(range(devices)))[:workers]),
        algorithm=draw(st.sampled_from((*ALGORITHMS, *NUMBERED, *BY_SIZE)))
        if workers > 1
        else "none",
        bucket_bytes=draw(st.sampled_from([4, max(4, whole // 3), whole])),
        overlap=draw(st.booleans()) and workers > 1,
        input_slots=draw(slots),
        activation_slots=draw(slots),
        landing_slots=draw(slots),
    )
    return training, plan


@st.composite
def cases(draw: st.DrawFn, rounds=(1, 2, 3, 4), **machine_options) -> Case:
    model, machine = draw(models()), draw(machines(**machine_options))
    training, plan = draw(plans(model, machine.devices, rounds))
    return Case(model=model, training=training, plan=plan, machine=machine)


def case(model=None, *, machine=None, batch: int = 12, dtype: str = "float32", **fields) -> Case:
    """Return one case by hand; ``fields`` are the plan's."""
    model = model or tiny_convnet()
    workers = fields.get("workers", 2)
    plan = {
        "workers": workers,
        "microbatch": 2,
        "placement": tuple(range(workers)),
        "algorithm": "ring" if workers > 1 else "none",
        "bucket_bytes": 1 << 30,
        "overlap": False,
    }
    return Case(
        model=model,
        training=Training(batch=batch, dtype=dtype),
        plan=Plan(**(plan | fields)),
        machine=machine or small_machine(4),
    )


def passes_one_by_one(work: Lowering, feeds: Mapping[int, Feed]) -> list[Passes]:
    """Append the passes of one step op by op, worker by worker."""
    found = []
    for rank in range(work.plan.workers):
        found.append(Passes())
        for number in range(work.plan.microbatches(work.training.batch)):
            Microbatch(work, rank, number, feeds.get(rank)).append(found[-1])
    return found


def legal_order(graph: TaskGraph, seed: int, put_off: int = -1) -> Iterator[int]:
    """Yield all tasks in a random order that keeps dependencies and slots, and nothing else.

    Even seeds choose uniformly; seeds of 1 and 3 modulo 4 always take the latest and the earliest
    task in program order that may run. The task ``put_off`` runs when nothing else can.
    """
    rng = random.Random(seed)
    free = graph.register_slots.tolist()
    register_of = graph.out_idx.tolist()
    readers = [len(row) for row in graph.item_readers()]
    after, writes, reads = graph.rows("dep"), graph.rows("out"), graph.rows("in")
    items = [range(a, b) for a, b in pairwise(graph.out_ptr.tolist())]
    missing = [len(row) for row in after]
    dependents: list[list[int]] = [[] for _ in range(graph.tasks)]
    for task, row in enumerate(after):
        for before in row:
            dependents[before].append(task)
    ready = [task for task, count in enumerate(missing) if not count]  # in program order
    while ready:
        able = [t for t in ready if not writes[t] or all(free[r] > 0 for r in writes[t])]
        assert able, f"tasks {ready} wait for slots"
        able = [t for t in able if t != put_off] or able
        task = able[-1] if seed % 4 == 1 else able[0] if seed % 4 == 3 else rng.choice(able)
        ready.remove(task)
        for register in writes[task]:
            free[register] -= 1
        yield task
        for item in reads[task]:
            readers[item] -= 1
        for item in {*reads[task], *items[task]}:
            if not readers[item]:
                free[register_of[item]] += 1
        for dependent in dependents[task]:
            missing[dependent] -= 1
            if not missing[dependent]:
                insort(ready, dependent)


def without_dependency(graph: TaskGraph, task: int, on: int) -> TaskGraph:
    """Return the graph in which ``task`` no longer waits for ``on``."""
    rows = [[d for d in graph.row("dep", t) if (t, d) != (task, on)] for t in range(graph.tasks)]
    ptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return replace(
        graph, dep_ptr=ptr, dep_idx=np.array([d for r in rows for d in r], dtype=np.int64)
    )
