"""The exchanges of buckets: the script of an algorithm becomes tasks on views of the gradients.

All tasks of buckets by the same script are written at once, as arrays; what the executor needs to
know of one of them is made when somebody asks. Index letters: B buckets, T moves of the script, S
spans that are moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.link import Route
from hwprofiles.units import Ints, to_ps
from planner.algorithms import algorithm, name_at
from planner.collectives.base import Tasks
from planner.emission import script_of
from planner.exchange_tasks import ExchangeTasks
from planner.lowering import PRIORITY, Lowering
from planner.opcall import DTYPE_BYTES
from planner.registers import landing_name
from planner.script import Script
from planner.switching import Joined, carried, route_between
from sim.blocks import Ids, Part, Rows, rows_of_table
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
    own = Exchanges.of(work, name, (number,), group)
    last = own.append(number, ready)
    work.graph.weave([own.part()])
    return last


@dataclass(slots=True, kw_only=True)
class Exchanges:
    """The exchanges of some buckets by one script, and what they wait for, one by one."""

    work: Lowering
    made: tuple[ExchangeTasks, ...]
    """By bucket."""
    script: Script
    first: int
    """Id of the first task."""
    step: int
    """Tasks from one exchange to the next."""
    deps: list[Rows] = field(default_factory=list)
    actors: list[Ints] = field(default_factory=list)
    """Of the buckets appended so far."""

    @classmethod
    def of(
        cls,
        work: Lowering,
        name: str,
        numbers: Sequence[int],
        group: tuple[int, ...],
        between: int = 0,
    ) -> "Exchanges":
        """Return those of buckets that ``name`` runs by one script, with tasks ``between`` them."""
        buckets = [work.buckets[number] for number in numbers]
        name = name_at(name, buckets[0].elements)
        script = script_of(algorithm(name).emit, len(group))
        made = tuple(
            ExchangeTasks(
                name=name,
                number=number,
                bucket=bucket,
                group=group,
                script=script,
                dtype=work.training.dtype,
                landing_slots=max(1, work.plan.landing_slots),
                step_calls=work.calls,
            )
            for number, bucket in zip(numbers, buckets, strict=True)
        )
        step = len(script.src) + between
        return cls(work=work, made=made, script=script, first=work.graph.tasks, step=step)

    def append(self, number: int, ready: Sequence[Tasks]) -> list[Tasks]:
        """Note what the next bucket waits for; return the last tasks of each rank."""
        work, made = self.work, self.made[len(self.deps)]
        first = self.first + len(self.deps) * self.step
        tokens = self._tokens(number, ready)
        self.deps.append(self._deps(tokens, first))
        self.actors.append(self._actors(number))
        work.tasks.add(made)
        for rank, place in self.script.last_adds.items():
            work.landed[made.group[rank], number] = first + place
        return self._last(tokens, first)

    def part(self) -> Part:
        """Return all of their tasks, to be put into the graph."""
        work, script = self.work, self.script
        times, count, adds = len(self.made), len(script.src), script.adds
        route, duration_ps, payload_bytes = self._sent()
        duration_ps[:, adds] = self._added_ps()
        lanes, registers = self._lanes(), self._registers()
        landed = np.cumsum(script.lands)[script.arrived[adds]] - 1
        items = work.graph.items + int(script.lands.sum()) * np.arange(times)
        return Part(
            times=times,
            count=count,
            columns={
                "duration_ps": duration_ps,
                "payload_bytes": payload_bytes,
                "route": route,
                "priority": PRIORITY["exchange"],
                "actor": np.stack(self.actors),
            },
            rows={
                "lane": [lanes] * times,
                "dep": self.deps,
                "out": [Rows(lengths=script.lands, ids=own) for own in registers],
                "in": [Rows(lengths=script.summed, ids=landed + first) for first in items],
            },
        )

    def _lanes(self) -> Rows:
        """Return the lanes that each task holds, the same for all buckets."""
        key, known = (self.made[0].name, self.made[0].group), self.work.exchange_lanes
        if key not in known:
            known[key] = rows_of_table(self._lane_table(), ordered=True)
        return known[key]

    def _lane_table(self) -> Ints:
        """Return the lanes that each task holds, (T, 2), -1 for none."""
        work, script, channels = self.work, self.script, range(self.script.channels)
        compute = np.array([work.lane(worker, "compute") for worker in self.made[0].group])
        out, into = (
            np.array(
                [
                    *([work.lane(w, kind, c) for c in channels] for w in self.made[0].group),
                    [-1] * script.channels,
                ]
            )
            for kind in ("send", "receive")
        )
        sends = script.arrived < 0
        ends = [out[script.src, script.channel], into[script.dst, script.channel]]
        ends[0][~sends], ends[1][~sends] = compute[script.src[~sends]], -1
        return np.stack(ends, axis=1)

    def _widths(self) -> Ints:
        """Return the elements of each span, (B, S)."""
        spans, _ = self.script.spans
        elements = np.array([made.bucket.elements for made in self.made])
        found: Ints = np.diff(spans * elements[:, None, None] // self.script.blocks)[:, :, 0]
        return found

    def _sent(self) -> tuple[Ints, Ints, Ints]:
        """Return the route of each transfer, its overhead, picoseconds, and its bytes, (B, T).

        Bytes are what a flow through the switch counts as.
        """
        key, known = (self.made[0].name, self.made[0].group), self.work.ways
        if key not in known:
            known[key] = self._ways()
        route, law_of, laws = known[key]
        script, sends = self.script, self.script.sends
        spans, span_of = script.spans
        sizes = self._widths() * DTYPE_BYTES[self.made[0].dtype]
        flows = [carried(law, sizes) for law in laws]
        laws_ps = [to_ps(law.overhead_s(size * 1.0)) for law, size in zip(laws, flows, strict=True)]
        at = law_of[sends] * len(spans) + span_of[sends]
        overhead_ps, payload = np.zeros((2, len(self.made), len(script.src)), dtype=np.int64)
        for column, table in ((overhead_ps, laws_ps), (payload, flows)):
            column[:, sends] = np.take(np.concatenate(table, axis=1), at, axis=1)
        paid_ps = [self.work.library_ps(made.name, made.bucket.elements) for made in self.made]
        overhead_ps[:, script.first_sends] += np.array(paid_ps)[:, None]
        return np.broadcast_to(route, payload.shape), overhead_ps, payload

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
            src, dst = (int(self.made[0].workers[end]) for end in ends)
            way = route_between(work.cluster, work.plan.placement, src, dst)
            path = work.graph.path(way.link_ids, way.flow_cap_bytes_per_s)
            law, _ = laws.setdefault(tuple(map(id, way.links)), (len(laws), way))
            found[:, place] = path, law
        route[sends], law_of[sends] = found[:, pair_of]
        return route, law_of, [law for _, law in laws.values()]

    def _added_ps(self) -> Ints:
        """Return the time of each addition, picoseconds, (B, additions)."""
        work, group, script = self.work, self.made[0].group, self.script
        device = [work.cluster.devices[work.plan.placement[worker]].name for worker in group]
        _, one, kind_of = np.unique(device, return_index=True, return_inverse=True)
        spans, span_of = script.spans
        keys = kind_of[script.src[script.adds]] * len(spans) + span_of[script.adds]
        used, widths = np.flatnonzero(np.bincount(keys)), self._widths()
        found = np.zeros((len(self.made), int(keys.max(initial=-1)) + 1), dtype=np.int64)
        for kind in range(len(one)):
            own = used[used // len(spans) == kind]
            each, back = np.unique(widths[:, own % len(spans)], return_inverse=True)
            some_ps = [work.price_ps(group[one[kind]], work.calls.add(n)) for n in each.tolist()]
            found[:, own] = np.array(some_ps, dtype=np.int64)[back].reshape(len(self.made), -1)
        return np.take(found, keys, axis=1)

    def _registers(self) -> Ints:
        """Return the register that each of the transfers that land writes, by bucket."""
        ids, channels = self.work.register_ids, self.script.channels
        seats, seat_of = self.script.seats
        held = [(ids[self.made[0].group[s // channels]], s % channels) for s in seats.tolist()]
        found = [
            [own[landing_name(made.number, channel)] for own, channel in held] for made in self.made
        ]
        return np.take(np.array(found, dtype=np.int64), seat_of, axis=1)

    def _actors(self, number: int) -> Ints:
        """Return the actor of each task: messages of one pair, additions of one span at a rank."""
        work, script = self.work, self.script
        if number not in work.exchange_actors:
            work.exchange_actors[number] = work.actor_count + script.actors
            work.actor_count += int(script.actors.max(initial=-1)) + 1
        return work.exchange_actors[number]

    def _deps(self, tokens: list[Tasks], first: int) -> Rows:
        """Return what each task waits for: first what tokens stand for, which came before."""
        sets, some, set_of = self.script.awaited
        counts, moves = self.script.awaited_moves
        found = [_joined([tokens[-1 - token] for token in each]) for each in sets]
        size = np.array(list(map(len, found)), dtype=np.int64)
        before = np.zeros_like(counts)
        before[some] = size[set_of]
        lengths, shift = counts + before, np.cumsum(before)
        begin, total = np.cumsum(lengths) - lengths, int(lengths.sum())
        ids: Ids = np.empty(total, dtype=np.int32 if first + self.step < 2**31 else np.int64)
        ids[np.arange(len(moves)) + np.repeat(shift, counts)] = moves + first
        for count in np.unique(size[size > 0]).tolist():  # as many as sets have different sizes
            alike, place = size == count, np.cumsum(size == count) - 1
            table = np.array([own for own in found if len(own) == count], dtype=ids.dtype)
            taken = alike[set_of]
            at = begin[some[taken]][:, None] + np.arange(count)
            ids[at] = np.take(table, place[set_of[taken]], axis=0)
        return Rows(lengths=lengths, ids=ids)

    def _tokens(self, number: int, every: Sequence[Tasks]) -> list[Tasks]:
        """Return the tasks that the tokens of a script stand for: what makes ready, what may land.

        A rank's first arrival waits for the gradients of the receiver, until which its passes may
        use the bytes, and for the earlier buckets that land there.
        """
        work, may_land = self.work, []
        for ready, worker in zip(every, self.made[0].group, strict=True):
            after = work.layouts[worker].landing_after[number]
            earlier = (work.landed.get((worker, bucket)) for bucket in after)
            landed = (task for task in earlier if task is not None)
            may_land.append(tuple(sorted({*ready, *landed})))
        return [*every, *may_land]

    def _last(self, tokens: list[Tasks], first: int) -> list[Tasks]:
        """Return the last tasks of each rank."""
        found: list[Tasks] = []
        for waits, moves in zip(self.script.last, self.script.last_moves, strict=True):
            if len(moves) == len(waits):
                found.append(tuple((moves + first).tolist()))
                continue
            own = [tokens[-1 - wait] if wait < 0 else (first + wait,) for wait in waits]
            found.append(_joined(own))
        return found


def _joined(some: Sequence[Tasks]) -> Tasks:
    """Return the tasks of any of these, ascending; each has its own in order."""
    return some[0] if len(some) == 1 else tuple(sorted({task for own in some for task in own}))
