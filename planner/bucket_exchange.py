"""The exchange of one bucket: the script of an algorithm becomes tasks on views of the gradient.

All tasks of a bucket are written at once, as arrays; what the executor needs to know of one of them
is made when somebody asks. Index letters: T moves of the script.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hwprofiles.link import Route
from hwprofiles.units import Ints, to_ps
from planner.algorithms import algorithm, name_at
from planner.calls import StepCalls
from planner.collectives.base import Tasks
from planner.emission import script_of
from planner.lowering import PRIORITY, Lowering
from planner.opcall import DTYPE_BYTES, OpCall
from planner.plan import Bucket
from planner.program import ComputeTask, Program, RankedTasks, Task, TransferTask, View
from planner.registers import landing_name
from planner.script import Script
from planner.switching import SWITCH, Joined, carried, route_between
from planner.tasklist import TaskList
from sim.blocks import Ids, Rows, rows_of_table
from sim.taskgraph import NO_ROUTE


def exchange_bucket(
    work: Lowering,
    name: str,
    number: int,
    group: tuple[int, ...],
    ready: Sequence[Tasks],
) -> list[Tasks]:
    """Append the exchange of bucket ``number``; return the last tasks of each rank of the group.

    Rank ``i`` of the algorithm is worker ``group[i]``; ``ready`` are its last gradients, after
    which its copy may be read, and its landing registers be used.
    """
    bucket = work.buckets[number]
    name = name_at(name, bucket.elements)
    script = script_of(algorithm(name).emit, len(group))
    made = ExchangeTasks(
        name=name,
        number=number,
        bucket=bucket,
        group=group,
        script=script,
        dtype=work.training.dtype,
        landing_slots=max(1, work.plan.landing_slots),
        step_calls=work.calls,
    )
    return _Writer(work, made, ready).write()


@dataclass(frozen=True, eq=False, kw_only=True)
class ExchangeTasks(RankedTasks):
    """The tasks of one exchange, made when somebody looks at them."""

    name: str
    """Of the algorithm."""
    number: int
    """Of the bucket."""
    bucket: Bucket
    group: tuple[int, ...]
    script: Script
    dtype: str
    landing_slots: int
    step_calls: StepCalls

    @cached_property
    def edges(self) -> Ints:
        """Where the blocks begin in the bucket, and where the last one ends."""
        return self.script.edges(self.bucket.elements)

    @cached_property
    def slots(self) -> Ints:
        """(T,) slot of its landing register in which a transfer lands, 0 where it does not."""
        return self.script.turns % self.landing_slots

    @cached_property
    def workers(self) -> Ints:
        """Worker of each rank, and of the switch."""
        return np.array([*self.group, SWITCH])

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which worker ``rank`` takes part, ascending."""
        if rank not in self.group:
            return []
        src, dst = self.workers[self.script.src], self.workers[self.script.dst]
        ours = (src == rank) | (dst == rank) | (src == SWITCH) | (dst == SWITCH)
        found: list[int] = np.flatnonzero(ours).tolist()
        return found

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield ranks, op calls and the places of their additions."""
        adds = self.script.adds
        width = (self.edges[self.script.end] - self.edges[self.script.first])[adds]
        for (rank, elements), some in _places(self.script.src[adds], width):
            yield self.group[rank], self.step_calls.add(elements), adds[some]

    def sends(self) -> Iterator[tuple[int, int, Ints]]:
        """Yield sources, destinations and the places of their transfers."""
        sends, workers = self.script.sends, self.workers.tolist()
        for (src, dst), some in _places(self.script.src[sends], self.script.dst[sends]):
            yield workers[src], workers[dst], sends[some]

    def __len__(self) -> int:
        return len(self.script.src)

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        arrived = int(self.script.arrived[at])
        first, end = (int(self.edges[side[at]]) for side in (self.script.first, self.script.end))
        own = self._view("gradients", 0, self.bucket.first + first, end - first)
        if arrived < 0:
            return self._transfer(at, own, f"{self.name}.{self.number}[{first}:{end}]")
        return ComputeTask(
            name=f"add.{self.number}[{first}:{end}]",
            rank=self.group[self.script.src[at]],
            phase="exchange",
            call=self.step_calls.add(end - first),
            views=(self._landing(arrived, end - first), own),
        )

    def _transfer(self, at: int, own: View, name: str) -> TransferTask:
        script, elements = self.script, own.shape[0]
        src, dst = (int(self.workers[side[at]]) for side in (script.src, script.dst))
        return TransferTask(
            name=name,
            src=src,
            dst=dst,
            source=own,
            target=self._landing(at, elements) if script.lands[at] else own,
            members=self.group if SWITCH in (src, dst) else (),
        )

    def _landing(self, at: int, elements: int) -> View:
        register = landing_name(self.number, int(self.script.channel[at]))
        return self._view(register, int(self.slots[at]), 0, elements)

    def _view(self, register: str, slot: int, first: int, elements: int) -> View:
        return View(
            register=register,
            slot=slot,
            offset_bytes=first * DTYPE_BYTES[self.dtype],
            shape=(elements,),
            dtype=self.dtype,
        )


def _places(*keys: Ints) -> Iterator[tuple[tuple[int, ...], Ints]]:
    """Yield the tuples of keys that there are, and where each of them stands."""
    order = np.lexsort(keys[::-1])
    sorted_keys = np.stack(keys)[:, order]
    begins = np.flatnonzero((np.diff(sorted_keys, prepend=-1) != 0).any(axis=0))
    distinct = sorted_keys[:, begins].T.tolist()
    for key, places in zip(distinct, np.split(order, begins[1:]), strict=bool(len(order))):
        yield tuple(key), places


def first_sends(program: Program) -> Iterator[tuple[str, int, Ints]]:
    """Yield, of every exchange, algorithm, elements, and the transfers that carry its call."""
    parts = program.tasks
    assert isinstance(parts, TaskList)
    for first, part in zip(parts.firsts, parts.parts, strict=True):
        if isinstance(part, ExchangeTasks):
            yield part.name, part.bucket.elements, first + part.script.first_sends


@dataclass(slots=True)
class _Writer:
    """Writes the tasks of an exchange, column by column."""

    work: Lowering
    made: ExchangeTasks
    ready: Sequence[Tasks]
    script: Script = field(init=False)
    first: int = field(init=False)
    """Id of the first task."""
    end: int = field(init=False)
    """Id after that of the last one."""

    def __post_init__(self) -> None:
        self.script, self.first = self.made.script, self.work.graph.tasks
        self.end = self.first + len(self.made)

    def write(self) -> list[Tasks]:
        """Append all; return the last tasks of each rank."""
        work, script, made = self.work, self.script, self.made
        width = made.edges[script.end] - made.edges[script.first]
        payload = np.where(script.arrived < 0, width * DTYPE_BYTES[made.dtype], 0)
        adds = script.adds
        item = work.graph.items + np.cumsum(script.lands) - 1
        route, duration_ps = self._sent(payload)
        duration_ps[adds] = self._added_ps()
        tokens = self._tokens()
        deps = self._deps(tokens)
        work.graph.extend(
            {
                "duration_ps": duration_ps,
                "payload_bytes": payload,
                "route": route,
                "priority": PRIORITY["exchange"],
                "actor": self._actors(),
            },
            len(payload),
            lane=self._lanes(),
            dep=deps,
            out=Rows(lengths=script.lands, ids=self._registers()),
            **{
                "in": Rows(
                    lengths=(script.arrived >= 0).astype(np.int64), ids=item[script.arrived[adds]]
                )
            },
        )
        work.tasks.add(made)
        self._note()
        return self._last(tokens)

    def _lanes(self) -> Rows:
        """Return the lanes that each task holds, the same for all buckets."""
        key, known = (self.made.name, self.made.group), self.work.exchange_lanes
        if key not in known:
            known[key] = rows_of_table(self._lane_table(), ordered=True)
        return known[key]

    def _lane_table(self) -> Ints:
        """Return the lanes that each task holds, (T, 2), -1 for none."""
        work, script, channels = self.work, self.script, range(self.script.channels)
        compute = np.array([work.lane(worker, "compute") for worker in self.made.group])
        out, into = (
            np.array(
                [
                    *([work.lane(w, kind, c) for c in channels] for w in self.made.group),
                    [-1] * script.channels,
                ]
            )
            for kind in ("send", "receive")
        )
        sends = script.arrived < 0
        ends = [out[script.src, script.channel], into[script.dst, script.channel]]
        ends[0][~sends], ends[1][~sends] = compute[script.src[~sends]], -1
        return np.stack(ends, axis=1)

    def _sent(self, payload: Ints) -> tuple[Ints, Ints]:
        """Return the route and the overhead of each transfer, picoseconds, shape (T,).

        ``payload`` becomes what a flow through the switch counts as.
        """
        key, known = (self.made.name, self.made.group), self.work.ways
        if key not in known:
            known[key] = self._ways()
        route, law_of, laws = known[key]
        overhead_ps, sends = np.zeros_like(payload), self.script.sends
        spans, span_of = self.script.spans
        sizes = np.diff(self.made.edges[spans])[:, 0] * DTYPE_BYTES[self.made.dtype]
        flows = np.array([carried(law, sizes) for law in laws])
        laws_ps = np.array(
            [to_ps(law.overhead_s(size * 1.0)) for law, size in zip(laws, flows, strict=True)]
        )
        payload[sends] = flows[law_of[sends], span_of[sends]]
        overhead_ps[sends] = laws_ps[law_of[sends], span_of[sends]]
        paid_ps = self.work.library_ps(self.made.name, self.made.bucket.elements)
        overhead_ps[self.script.first_sends] += paid_ps
        return route, overhead_ps

    def _ways(self) -> tuple[Ints, Ints, list[Route | Joined]]:
        """Return the route of each transfer, which law it follows, and the laws."""
        work, script = self.work, self.script
        route, law_of = np.full((2, len(script.src)), NO_ROUTE)
        sends = script.sends
        pairs, at, pair_of = np.unique(script.pairs[sends], return_index=True, return_inverse=True)
        found = np.zeros((2, len(pairs)), dtype=np.int64)
        laws: dict[tuple[int, ...], tuple[int, Route | Joined]] = {}
        for place in np.argsort(at).tolist():  # routes are numbered as they come into use
            ends = divmod(int(pairs[place]), script.ranks + 1)
            src, dst = (int(self.made.workers[end]) for end in ends)
            way = route_between(work.cluster, work.plan.placement, src, dst)
            path = work.graph.path(way.link_ids, way.flow_cap_bytes_per_s)
            law, _ = laws.setdefault(tuple(map(id, way.links)), (len(laws), way))
            found[:, place] = path, law
        route[sends], law_of[sends] = found[:, pair_of]
        return route, law_of, [law for _, law in laws.values()]

    def _added_ps(self) -> Ints:
        """Return the time of each addition, picoseconds."""
        work, group, script = self.work, self.made.group, self.script
        device = [work.cluster.devices[work.plan.placement[worker]].name for worker in group]
        _, one, kind_of = np.unique(device, return_index=True, return_inverse=True)
        spans, span_of = script.spans
        widths, width_of = np.unique(np.diff(self.made.edges[spans])[:, 0], return_inverse=True)
        keys = kind_of[script.src[script.adds]] * len(widths) + width_of[span_of[script.adds]]
        found: Ints = np.zeros(len(one) * len(widths), dtype=np.int64)
        for key in np.flatnonzero(np.bincount(keys, minlength=len(found))).tolist():
            kind, width = divmod(key, len(widths))
            found[key] = work.price_ps(group[one[kind]], work.calls.add(int(widths[width])))
        each: Ints = found[keys]
        return each

    def _registers(self) -> Ints:
        """Return the register that each of the transfers that land writes."""
        ids, channels = self.work.register_ids, self.script.channels
        seats, seat_of = self.script.seats
        found = [
            ids[self.made.group[rank]][landing_name(self.made.number, channel)]
            for rank, channel in (divmod(seat, channels) for seat in seats.tolist())
        ]
        return np.array(found, dtype=np.int64)[seat_of]

    def _actors(self) -> Ints:
        """Return the actor of each task: messages of one pair, additions of one span at a rank."""
        work, script, number = self.work, self.script, self.made.number
        if number not in work.exchange_actors:
            work.exchange_actors[number] = work.actor_count + script.actors
            work.actor_count += int(script.actors.max(initial=-1)) + 1
        return work.exchange_actors[number]

    def _deps(self, tokens: list[Tasks]) -> Rows:
        """Return what each task waits for: first what tokens stand for, which came before."""
        sets, some, set_of = self.script.awaited
        counts, moves = self.script.awaited_moves
        found = [_joined([tokens[-1 - token] for token in each]) for each in sets]
        size = np.array(list(map(len, found)), dtype=np.int64)
        before = np.zeros_like(counts)
        before[some] = size[set_of]
        lengths, shift = counts + before, np.cumsum(before)
        begin, total = np.cumsum(lengths) - lengths, int(lengths.sum())
        ids: Ids = np.empty(total, dtype=np.int32 if self.end < 2**31 else np.int64)
        ids[np.arange(len(moves)) + np.repeat(shift, counts)] = moves + self.first
        for count in np.unique(size[size > 0]).tolist():  # as many as sets have different sizes
            alike, place = size == count, np.cumsum(size == count) - 1
            table = np.array([own for own in found if len(own) == count], dtype=ids.dtype)
            taken = alike[set_of]
            at = begin[some[taken]][:, None] + np.arange(count)
            ids[at] = np.take(table, place[set_of[taken]], axis=0)
        return Rows(lengths=lengths, ids=ids)

    def _tokens(self) -> list[Tasks]:
        """Return the tasks that the tokens of a script stand for: what makes ready, what may land.

        A rank's first arrival waits for the gradients of the receiver, until which its passes may
        use the bytes, and for the earlier buckets that land there.
        """
        work, number = self.work, self.made.number
        may_land = []
        for ready, worker in zip(self.ready, self.made.group, strict=True):
            after = work.layouts[worker].landing_after[number]
            earlier = (work.landed.get((worker, bucket)) for bucket in after)
            landed = (task for task in earlier if task is not None)
            may_land.append(tuple(sorted({*ready, *landed})))
        return [*self.ready, *may_land]

    def _last(self, tokens: list[Tasks]) -> list[Tasks]:
        """Return the last tasks of each rank."""
        found: list[Tasks] = []
        for waits, moves in zip(self.script.last, self.script.last_moves, strict=True):
            if len(moves) == len(waits):
                found.append(tuple((moves + self.first).tolist()))
                continue
            own = [tokens[-1 - wait] if wait < 0 else (self.first + wait,) for wait in waits]
            found.append(_joined(own))
        return found

    def _note(self) -> None:
        """Note the last additions of each rank."""
        work, script = self.work, self.script
        for rank, place in script.last_adds.items():
            work.landed[self.made.group[rank], self.made.number] = self.first + place


def _joined(some: Sequence[Tasks]) -> Tasks:
    """Return the tasks of any of these, ascending; each has its own in order."""
    return some[0] if len(some) == 1 else tuple(sorted({task for own in some for task in own}))
