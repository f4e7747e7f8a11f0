"""The state of one lowering: the growing task graph and its side tables."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.link import Route
from hwprofiles.units import Ints, to_ps
from planner.awaited import TaskSets
from planner.calls import StepCalls
from planner.collectives.base import Tasks
from planner.layout import Layout, layouts
from planner.library_cost import library_prices
from planner.model import ModelGraph
from planner.opcall import OpCall
from planner.operands import Arrays, flat_view
from planner.plan import Bucket, Plan, Training, parameter_offsets
from planner.program import ComputeTask, Program, View
from planner.registers import Register, RegisterNames, frame_count, plan_buckets
from planner.rings import ring_registers
from planner.switching import Joined
from planner.tasklist import TaskList
from sim.blocks import Rows
from sim.graphbuilder import GraphBuilder

LANES = ("compute", "copy", "send", "receive")
"""Of every rank; some may be the same one."""

PRIORITY = {"exchange": 0, "update": 0, "backward": 1, "forward": 2, "load": 3}
"""Smaller first: a worker finishes what it began, which keeps few activations alive."""


def op_ps(book: CostBook, call: OpCall) -> int:
    """Duration of one op call on the device of ``book``, picoseconds, rounded up once."""
    return to_ps(book.cost(call).seconds)


@dataclass(slots=True)
class Passes:
    """What the exchange must know of one worker's passes."""

    gradient: dict[int, int] = field(default_factory=dict)
    """Last task that wrote each layer's gradient."""
    reader: dict[int, int] = field(default_factory=dict)
    """Last task that reads each layer's parameters, where one follows the last gradient."""
    shift: int = 0
    """How far the tasks of this worker lie behind these."""
    known: dict[tuple[str, tuple[int, ...]], Tasks] = field(default_factory=dict)
    """Those of some layers, as far as anybody asked; of all workers alike."""

    def shifted(self, shift: int) -> "Passes":
        """Return the passes of a worker alike."""
        return replace(self, shift=shift)

    def gradients_of(self, layers: tuple[int, ...]) -> Tasks:
        """Return the last task that wrote a gradient of these layers, if there is one."""
        return tuple(task + self.shift for task in self.unshifted("gradient", layers))

    def unshifted(self, what: str, layers: tuple[int, ...]) -> Tasks:
        """Return what ``shift`` must be added to: of ``gradient`` or ``reader``, by name.

        The firings of a microbatch follow one another, so the last one stands for all of them.
        """
        if (what, layers) not in self.known:
            tasks: Mapping[int, int] = getattr(self, what)
            some = [tasks[layer] for layer in layers if layer in tasks]
            self.known[what, layers] = (max(some),) if some else ()
        return self.known[what, layers]


def of_layers(passes: Sequence[Passes], what: str, some: Sequence[tuple[int, ...]]) -> TaskSets:
    """Return the last task that wrote or read what these layers have, if there is one.

    ``what`` is ``gradient``, or ``reader``: who reads parameters after that. One set for each of
    ``some`` and worker, worker by worker of each.
    """
    alike = {id(own.known): own for own in passes}
    kinds = {key: kind for kind, key in enumerate(alike)}
    sets = TaskSets.of([own.unshifted(what, layers) for own in alike.values() for layers in some])
    kind = np.array([kinds[id(own.known)] for own in passes])
    which = kind * len(some) + np.arange(len(some))[:, None]
    shifts = np.array([own.shift for own in passes])
    return sets.take(which.reshape(-1)).later(np.tile(shifts, len(some)))


@dataclass(slots=True)
class RegisterIds:
    """Ids of the registers of one worker by name."""

    first: int
    """Of those of its arena, which follow one another."""
    places: Mapping[str, int]
    """In the arena: the same for workers alike."""
    beside: dict[str, int] = field(default_factory=dict)
    """Of what lies between it and the processes that feed it."""

    def __getitem__(self, name: str) -> int:
        place = self.places.get(name)
        return self.beside[name] if place is None else self.first + place


@dataclass(slots=True, kw_only=True)
class Lowering:
    """State of one lowering: the growing graph and its side tables."""

    model: ModelGraph
    training: Training
    plan: Plan
    cluster: Cluster
    books: Mapping[str, CostBook]
    graph: GraphBuilder = field(default_factory=GraphBuilder)
    tasks: TaskList = field(default_factory=TaskList)
    calls: StepCalls = field(init=False)
    buckets: tuple[Bucket, ...] = ()
    offsets: dict[int, int] = field(default_factory=dict)
    layouts: tuple[Layout, ...] = ()
    slots: dict[str, int] = field(default_factory=dict)
    """By register: of all ranks, where they have it."""
    register_ids: list[RegisterIds] = field(default_factory=list)
    """By rank."""
    register_names: RegisterNames = field(default_factory=RegisterNames)
    lanes: dict[tuple[int, str], int] = field(default_factory=dict)
    actors: dict[tuple[int, str], int] = field(default_factory=dict)
    first_actors: dict[Hashable, int] = field(default_factory=dict)
    """Of those that stand together: the first, by what they are for."""
    ways: dict[tuple[str, tuple[int, ...]], tuple[Ints, Ints, list[Route | Joined]]] = field(
        default_factory=dict
    )
    """By algorithm and group: route of each transfer of its script, which law it follows, laws."""
    exchange_lanes: dict[tuple[str, tuple[int, ...]], Rows] = field(default_factory=dict)
    """By algorithm and group: those that the tasks of its script hold."""
    actor_count: int = 0
    prices: dict[tuple[str, int], tuple[int, OpCall]] = field(default_factory=dict)
    """By device and identity of a call, which is kept: equal layers share theirs."""
    last_writer: dict[int, int] = field(default_factory=dict)
    """By register id; writers keep their order, for a view names the slot of its turn."""
    frames: int = 1
    """Microbatches of one rank that may be under way."""
    arrays: Arrays = field(init=False)
    """Of the passes."""
    turns: dict[tuple[int, int], int] = field(default_factory=dict)
    """By rank and position in the passes: its last firing of this step."""
    passed: dict[tuple[int, int], int] = field(default_factory=dict)
    """By rank and microbatch of this step: the last task of its passes."""
    landed: Ints = field(init=False)
    """By rank and bucket: the last addition of what landed there, -1 for none."""
    before: tuple[int, ...] = ()
    """Tasks that end the step before: all of this one wait for them."""
    ends: list[int] = field(default_factory=list)
    """By step: one past its last task."""
    copies_ahead: bool = False
    """Whether input is copied for a later step, by an engine that does not compute."""
    library_ps: Callable[[str, int], int] = field(init=False)
    """Algorithm and elements to what a library pays once for an exchange."""
    ring: tuple[Register, ...] = ()
    """Registers of the input pipeline, in which ranks have no part of the arena."""

    def __post_init__(self) -> None:
        self.buckets = plan_buckets(self.model, self.training, self.plan)
        self.calls = StepCalls.of(self.model, self.training, self.plan)
        self.library_ps = library_prices(self.plan.placement, self.cluster, self.training.dtype)
        self.offsets = parameter_offsets(self.model)
        self.landed = np.full((self.plan.workers, len(self.buckets)), -1)
        if self.calls.inputs:
            self.ring = ring_registers(self.calls.inputs, self.plan)
        for link in self.cluster.links:
            self.graph.link(link.bandwidth_bytes_per_s)
        self.layouts = layouts(self.model, self.training, self.plan, self.calls)
        self.frames = max(1, frame_count(self.training, self.plan))
        alike = {id(layout): layout for layout in self.layouts}
        columns = {key: _register_columns(layout) for key, layout in alike.items()}
        places = {key: {n: i for i, n in enumerate(names)} for key, (names, *_) in columns.items()}
        for names, slots, _ in columns.values():
            self.slots.update(zip(names, slots.tolist(), strict=True))
        self.arrays = Arrays(
            model=self.model,
            calls=self.calls,
            samples=self.plan.microbatch,
            offsets=self.offsets,
            slots=self.slots,
            frames=self.frames,
        )
        for rank, device in enumerate(self.plan.placement):
            key = id(self.layouts[rank])
            names, slots, strides = columns[key]
            added = self.graph.registers(device, slots, strides)
            self.register_ids.append(RegisterIds(added.start, places[key]))
            self.register_names.add(names, str(rank))
            holds = self.cluster.devices[device].transfers_hold_compute
            self.copies_ahead = bool(self.plan.decode_workers) and not holds
            for kind in LANES:
                shared = holds and kind != "compute"
                lane = self.lanes[rank, "compute"] if shared else self.graph.lane(device)
                self.lanes[rank, kind] = lane

    def actor(self, rank: int, name: str) -> int:
        """Return the id of an actor, new where it is not known."""
        found = self.actors.setdefault((rank, name), self.actor_count)
        self.actor_count = max(self.actor_count, found + 1)
        return found

    def actors_from(self, key: Hashable, count: int) -> int:
        """Return the first of so many actors in a row, new where what they are for is not known."""
        if key not in self.first_actors:
            self.first_actors[key] = self.actor_count
            self.actor_count += count
        return self.first_actors[key]

    def kinds(self, ranks: Sequence[int]) -> tuple[list[int], Ints]:
        """Return one rank on each kind of device, and by rank which of them is of its kind."""
        names = [self.cluster.devices[self.plan.placement[rank]].name for rank in ranks]
        one = dict(zip(reversed(names), reversed(ranks), strict=True))
        at = {name: kind for kind, name in enumerate(one)}
        return list(one.values()), np.array([at[name] for name in names])

    def lanes_of(self, rank: int) -> list[int]:
        """Return the lanes of a rank that channels do not add."""
        return [self.lanes[rank, kind] for kind in LANES]

    def lane(self, rank: int, kind: str, channel: int = 0) -> int:
        """Return a lane of a rank; each channel of an exchange has lanes of its own."""
        key = (rank, f"{kind}.{channel}" if channel else kind)
        if key not in self.lanes:
            device = self.plan.placement[rank]
            holds = self.cluster.devices[device].transfers_hold_compute
            self.lanes[key] = self.lanes[rank, kind] if holds else self.graph.lane(device)
        return self.lanes[key]

    def program(self) -> Program:
        """Freeze."""
        return Program(
            graph=self.graph.build(),
            tasks=self.tasks,
            layouts=self.layouts,
            register_names=self.register_names,
            ends=tuple(self.ends),
        )

    def entry(self, ranks: tuple[int, ...], waits: Collection[int]) -> tuple[int, ...]:
        """Return what a task waits for beside ``waits``: the step before, unless they imply it."""
        if not self.before:
            return ()
        begun, missing = self.ends[-1], set(ranks)
        for task in sorted(waits, reverse=True):
            if task < begun or not missing:
                break
            info = self.tasks[task]
            if not self.is_ahead(info.phase):
                missing.difference_update(info.ranks)
        return self.before if missing else ()

    def is_ahead(self, phase: str) -> bool:
        """Whether tasks of this phase are for a step that may not have begun."""
        return self.copies_ahead and phase == "load"

    def begin_step(self) -> None:
        """Let all that follows wait for the step before, if any; what feeds it does not."""
        if self.ends:
            self.before = self.graph.unawaited((0, *self.ends)[-2])
            self.turns.clear()
            self.passed.clear()

    def end_step(self) -> None:
        """Note where a step ends."""
        self.ends.append(self.graph.tasks)

    def compute(
        self,
        info: ComputeTask,
        *,
        after: Sequence[int] = (),
        reads: Sequence[tuple[int, str]] = (),
        writes: Sequence[str] = (),
    ) -> int:
        """Append one firing of a kernel; ``reads`` are (writer, register), registers by name."""
        ids = self.register_ids[info.rank]
        taken = [ids[register] for register in writes]
        turns = [self.last_writer[register] for register in taken if register in self.last_writer]
        before: tuple[int, ...] = ()
        if self.before and not self.is_ahead(info.phase):
            waits = {*after, *turns, *(writer for writer, _ in reads)}
            before = self.entry((info.rank,), waits)
        task = self.graph.compute(
            [self.lanes[info.rank, "copy" if info.phase == "load" else "compute"]],
            self.price_ps(info.rank, info.call),
            actor=self.actor(info.rank, info.name),
            priority=PRIORITY[info.phase],
            after=[*after, *turns, *before],
            reads=[(writer, ids[register]) for writer, register in reads],
            writes=taken,
        )
        self.last_writer.update(dict.fromkeys(taken, task))
        self.tasks.append(info)
        return task

    def price_ps(self, rank: int, call: OpCall) -> int:
        """Return the duration of ``call`` on the device of ``rank``, each worked out once."""
        device = self.cluster.devices[self.plan.placement[rank]].name
        key = (device, id(call))
        if key not in self.prices:
            self.prices[key] = op_ps(self.books[device], call), call
        return self.prices[key][0]

    def flat(self, register: str, first: int, elements: int) -> View:
        """Return a slice of the flat parameters or gradients."""
        return flat_view(register, first, elements, self.training.dtype)


def _register_columns(layout: Layout) -> tuple[list[str], Ints, Ints]:
    """Return name, slots and bytes of a slot of each register."""
    some = layout.registers
    slots = np.array([r.slots for r in some], dtype=np.int64)
    return [r.name for r in some], slots, np.array([r.stride_bytes for r in some], dtype=np.int64)
