"""The exchanges of buckets: the script of an algorithm becomes tasks on views of the gradients.

All tasks of buckets by the same script are written at once, as arrays; what the executor needs to
know of one of them is made when somebody asks. Index letters: B buckets, T moves of the script, S
spans that are moved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.link import Route
from hwprofiles.units import Ints, to_ps
from planner.algorithms import algorithm, name_at
from planner.awaited import TaskSets, united
from planner.emission import script_of
from planner.exchange_tasks import ExchangeTasks
from planner.lowering import PRIORITY, Lowering
from planner.opcall import DTYPE_BYTES
from planner.registers import landing_name
from planner.script import Script
from planner.switching import Joined, carried, route_between
from sim.blocks import Ids, Part, Rows, rows_of_table
from sim.taskgraph import NO_ROUTE


def exchange_buckets(
    work: Lowering, name: str, numbers: Sequence[int], group: tuple[int, ...], ready: TaskSets
) -> TaskSets:
    """Append the exchanges of buckets by one script; return the last tasks of each rank.

    Rank ``i`` of the algorithm is worker ``group[i]``; ``ready`` are its last gradients, after
    which its copy may be read, and its landing registers be used. They, and what is returned, come
    rank by rank of each bucket.
    """
    own = Exchanges.of(work, name, numbers, group)
    for made in own.made:
        work.tasks.add(made)
    last, part = own.written(ready)
    work.graph.weave([part])
    return last


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanges:
    """The exchanges of some buckets by one script."""

    work: Lowering
    made: tuple[ExchangeTasks, ...]
    """By bucket."""
    script: Script
    first: int
    """Id of the first task."""
    between: int
    """Tasks from the end of one exchange to the next; they have as many actors."""

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
        return cls(work=work, made=made, script=script, first=work.graph.tasks, between=between)

    @property
    def firsts(self) -> Ints:
        """By bucket: the id of its first task."""
        return self.first + (len(self.script.src) + self.between) * np.arange(len(self.made))

    @property
    def actors(self) -> Ints:
        """By bucket: its first actor."""
        key = ("exchange", *(made.number for made in self.made))
        step = self.script.actor_count + self.between
        return self.work.actors_from(key, step * len(self.made)) + step * np.arange(len(self.made))

    def written(self, ready: TaskSets) -> tuple[TaskSets, Part]:
        """Return the last tasks of each rank, and all tasks, to be put into the graph.

        ``ready`` are the last gradients; both come rank by rank of each bucket.
        """
        work, script = self.work, self.script
        times, count, adds = len(self.made), len(script.src), script.adds
        tokens = self._tokens(ready)
        route, duration_ps, payload_bytes = self._sent()
        duration_ps[:, adds] = self._added_ps()
        lanes, registers = self._lanes(), self._registers()
        landed = np.cumsum(script.lands)[script.arrived[adds]] - 1
        items = work.graph.items + int(script.lands.sum()) * np.arange(times)
        held = np.broadcast_to(lanes.lengths, count)
        part = Part(
            times=times,
            count=count,
            columns={
                "duration_ps": duration_ps,
                "payload_bytes": payload_bytes,
                "route": route,
                "priority": PRIORITY["exchange"],
                "actor": script.actors + self.actors[:, None],
            },
            rows={
                "lane": Rows(lengths=np.tile(held, (times, 1)), ids=np.tile(lanes.ids, times)),
                "dep": self._deps(tokens),
                "out": Rows(lengths=np.tile(script.lands, (times, 1)), ids=registers.reshape(-1)),
                "in": Rows(
                    lengths=np.tile(script.summed, (times, 1)),
                    ids=(landed + items[:, None]).reshape(-1),
                ),
            },
        )
        return self._last(tokens), part

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
        one, kind_of = work.kinds(group)
        spans, span_of = script.spans
        keys = kind_of[script.src[script.adds]] * len(spans) + span_of[script.adds]
        used, widths = np.flatnonzero(np.bincount(keys)), self._widths()
        found = np.zeros((len(self.made), int(keys.max(initial=-1)) + 1), dtype=np.int64)
        for kind in range(len(one)):
            own = used[used // len(spans) == kind]
            each, back = np.unique(widths[:, own % len(spans)], return_inverse=True)
            some_ps = [work.price_ps(one[kind], work.calls.add(n)) for n in each.tolist()]
            found[:, own] = np.array(some_ps, dtype=np.int64)[back].reshape(len(self.made), -1)
        return np.take(found, keys, axis=1)

    def _registers(self) -> Ints:
        """Return the register that each of the transfers that land writes, by bucket."""
        channels, (seats, seat_of) = self.script.channels, self.script.seats
        found = np.empty((len(self.made), len(seats)), dtype=np.int64)
        known: dict[tuple[int, int], list[int]] = {}
        for at, (rank, channel) in enumerate(zip(*np.divmod(seats, channels), strict=True)):
            ids = self.work.register_ids[self.made[0].group[rank]]
            key = id(ids.places), int(channel)
            if key not in known:
                names = [landing_name(made.number, key[1]) for made in self.made]
                known[key] = [ids.places[name] for name in names]
            found[:, at] = ids.first + np.array(known[key])
        return np.take(found, seat_of, axis=1)

    def _deps(self, tokens: TaskSets) -> Rows:
        """Return what each task waits for: first what tokens stand for, which came before."""
        sets, some, set_of = self.script.awaited
        counts, moves = self.script.awaited_moves
        times = len(self.made)
        joined = united(times * len(sets), [self._meant(sets, tokens)])
        before = np.zeros((times, len(counts)), dtype=np.int64)
        before[:, some] = joined.lengths.reshape(times, -1)[:, set_of]
        taken = joined.take((set_of + len(sets) * np.arange(times)[:, None]).reshape(-1))
        lengths = before + counts
        parts = np.stack([before, np.broadcast_to(counts, before.shape)], axis=2)
        is_before = np.repeat(np.tile([True, False], lengths.size), parts.reshape(-1))
        last = self.first + times * (len(counts) + self.between)
        ids: Ids = np.empty(len(is_before), dtype=np.int32 if last < 2**31 else np.int64)
        ids[is_before] = taken.ids
        ids[~is_before] = (moves + self.firsts[:, None]).reshape(-1)
        return Rows(lengths=lengths, ids=ids)

    def _tokens(self, ready: TaskSets) -> TaskSets:
        """Return the tasks that the tokens of a script stand for: what makes ready, what may land.

        A rank's first arrival waits for the gradients of the receiver, until which its passes may
        use the bytes, and for the earlier buckets that land there.
        """
        may_land, landed = ready, list(self._landed_before())
        if landed:
            may_land = united(len(ready), [(np.arange(len(ready)), ready), *landed])
        return TaskSets(
            np.concatenate([ready.lengths, may_land.lengths]),
            np.concatenate([ready.ids, may_land.ids]),
        )

    def _landed_before(self) -> Iterator[tuple[Ints, TaskSets]]:
        """Note what lands here; yield what landed before on the bytes of a bucket, for which rank.

        A rank is one of so many of each bucket.
        """
        work, script, workers = self.work, self.script, np.array(self.made[0].group)
        ranks, adds = script.last_adds
        numbers = [made.number for made in self.made]
        work.landed[workers[ranks][:, None], numbers] = adds[:, None] + self.firsts
        layout_of = np.array([id(work.layouts[worker]) for worker in workers])
        for key, worker in zip(*np.unique(layout_of, return_index=True), strict=True):
            after = work.layouts[workers[worker]].landing_after
            pairs = [(at, bucket) for at, n in enumerate(numbers) for bucket in after[n]]
            if not pairs:
                continue
            at, earlier = np.array(pairs).T
            alike = np.flatnonzero(layout_of == key)[:, None]
            landed = work.landed[workers[alike], earlier]
            there = landed >= 0
            yield (alike + len(workers) * at)[there], TaskSets.single(landed[there])

    def _meant(self, sets: TaskSets, tokens: TaskSets) -> tuple[Ints, TaskSets]:
        """Return what the tokens of some sets stand for in each bucket, and in which set it is."""
        ranks, buckets = self.script.ranks, np.arange(len(self.made))[:, None]
        kind, rank = np.divmod(sets.ids, ranks)
        which = (kind * len(buckets) + buckets) * ranks + rank
        into = np.repeat(np.arange(len(sets)), sets.lengths) + len(sets) * buckets
        return into.reshape(-1), tokens.take(which.reshape(-1))

    def _last(self, tokens: TaskSets) -> TaskSets:
        """Return the last tasks of each rank."""
        moves, before = self.script.last_sets
        lengths = np.tile(moves.lengths, len(self.made))
        found = TaskSets(lengths, (moves.ids + self.firsts[:, None]).reshape(-1))
        if not len(before.ids):
            return found
        own = np.arange(len(found))
        return united(len(found), [(own, found), self._meant(before, tokens)])
