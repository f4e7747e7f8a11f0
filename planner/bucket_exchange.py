"""The exchange of one bucket: the script of an algorithm becomes tasks on views of the gradient.

All tasks of a bucket are written at once, as arrays; what the executor needs to know of one of them
is made when somebody asks. Index letters: T moves of the script.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np

from hwprofiles.link import Route
from hwprofiles.units import Ints, to_ps
from planner.algorithms import algorithm, name_at
from planner.calls import StepCalls
from planner.collectives.base import Tasks
from planner.lowering import PRIORITY, Lowering
from planner.opcall import DTYPE_BYTES
from planner.plan import Bucket
from planner.program import ComputeTask, RankedTasks, Task, TransferTask, View
from planner.registers import landing_name
from planner.script import Script, script_of
from planner.switching import SWITCH, Joined, route_between
from sim.blocks import Rows
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
        calls=work.calls,
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
    calls: StepCalls

    @cached_property
    def edges(self) -> Ints:
        """Where the blocks begin in the bucket, and where the last one ends."""
        return self.script.edges(self.bucket.elements)

    @cached_property
    def slots(self) -> Ints:
        """(T,) slot of its landing register in which a transfer lands, 0 where it does not."""
        return self.script.turns() % self.landing_slots

    @property
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

    def __len__(self) -> int:
        return len(self.script.src)

    @overload
    def __getitem__(self, at: int) -> Task: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Task]: ...
    def __getitem__(self, at: int | slice) -> Task | Sequence[Task]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        arrived = int(self.script.arrived[at])
        first, end = (int(self.edges[side[at]]) for side in (self.script.first, self.script.end))
        own = self._view("gradients", 0, self.bucket.first + first, end - first)
        if arrived < 0:
            return self._transfer(at, own, f"{self.name}.{self.number}[{first}:{end}]")
        return ComputeTask(
            name=f"add.{self.number}[{first}:{end}]",
            rank=self.group[self.script.src[at]],
            phase="exchange",
            call=self.calls.add(end - first),
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


@dataclass(slots=True)
class _Writer:
    """Writes the tasks of an exchange, column by column."""

    work: Lowering
    made: ExchangeTasks
    ready: Sequence[Tasks]
    script: Script = field(init=False)
    first: int = field(init=False)
    """Id of the first task."""

    def __post_init__(self) -> None:
        self.script, self.first = self.made.script, self.work.graph.tasks

    def write(self) -> list[Tasks]:
        """Append all; return the last tasks of each rank."""
        work, script, made = self.work, self.script, self.made
        width = made.edges[script.end] - made.edges[script.first]
        payload = np.where(script.arrived < 0, width * DTYPE_BYTES[made.dtype], 0)
        lands, adds = np.flatnonzero(script.lands), script.adds
        item = work.graph.items + np.cumsum(script.lands) - 1
        route, duration_ps = self._sent(payload)
        duration_ps[adds] = self._added_ps(width[adds])
        deps, tokens = self._deps()
        work.graph.extend(
            {
                "duration_ps": duration_ps,
                "payload_bytes": payload,
                "route": route,
                "priority": PRIORITY["exchange"],
                "actor": self._actors(),
            },
            self._lanes(),
            dep=deps,
            out=Rows(lengths=script.lands, ids=self._registers(lands)),
            **{
                "in": Rows(
                    lengths=(script.arrived >= 0).astype(np.int64), ids=item[script.arrived[adds]]
                )
            },
        )
        work.tasks.add(made)
        self._note(deps.ids)
        return [self._tasks(last, tokens) for last in script.last]

    def _lanes(self) -> Ints:
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
        """Return the route and the overhead of each transfer, picoseconds, shape (T,)."""
        work, script = self.work, self.script
        route, overhead_ps = np.full(len(payload), NO_ROUTE), np.zeros_like(payload)
        sends = script.sends
        pairs, at, pair_of = np.unique(script.pairs[sends], return_index=True, return_inverse=True)
        ids = np.zeros(len(pairs), dtype=np.int64)
        laws: dict[tuple[int, ...], tuple[int, Route | Joined]] = {}
        kind_of = np.zeros(len(pairs), dtype=np.int64)
        for place in np.argsort(at).tolist():  # routes are numbered as they come into use
            ends = divmod(int(pairs[place]), script.ranks + 1)
            src, dst = (int(self.made.workers[end]) for end in ends)
            way = route_between(work.cluster, work.plan.placement, src, dst)
            ids[place] = work.graph.path(way.link_ids, way.flow_cap_bytes_per_s)
            kind_of[place], _ = laws.setdefault(tuple(map(id, way.links)), (len(laws), way))
        route[sends] = ids[pair_of]
        kind = kind_of[pair_of]
        for number, law in laws.values():
            some = sends[kind == number]
            sizes, size_of = np.unique(payload[some], return_inverse=True)
            overhead_ps[some] = to_ps(law.overhead_s(sizes.astype(np.float64)))[size_of]
        return route, overhead_ps

    def _added_ps(self, width: Ints) -> Ints:
        """Return the time of each addition, picoseconds."""
        work = self.work
        workers = np.array(self.made.group)[self.script.src[self.script.adds]]
        keys = workers * (self.made.bucket.elements + 1) + width
        _, at, back = np.unique(keys, return_index=True, return_inverse=True)
        each = [work.price_ps(int(workers[i]), work.calls.add(int(width[i]))) for i in at]
        return np.array(each, dtype=np.int64)[back] if len(keys) else np.zeros(0, dtype=np.int64)

    def _registers(self, lands: Ints) -> Ints:
        """Return the register that each of the transfers ``lands`` writes."""
        ids, script = self.work.register_ids, self.script
        seats, seat_of = np.unique(
            script.dst[lands] * script.channels + script.channel[lands], return_inverse=True
        )
        found = [
            ids[self.made.group[rank]][landing_name(self.made.number, channel)]
            for rank, channel in (divmod(seat, script.channels) for seat in seats.tolist())
        ]
        return np.array(found, dtype=np.int64)[seat_of]

    def _actors(self) -> Ints:
        """Return the actor of each task: messages of one pair, additions of one span at a rank."""
        work, script, number = self.work, self.script, self.made.number
        if number not in work.exchange_actors:
            spans = script.first * (script.blocks + 1) + script.end
            sums = (script.src * (script.blocks + 1) ** 2 + spans + 1) * -1
            keys = np.where(script.arrived < 0, script.pairs, sums)
            _, at, actor_of = np.unique(keys, return_index=True, return_inverse=True)
            place = np.empty_like(at)
            place[np.argsort(at)] = np.arange(len(at))  # numbered as they come into use
            work.exchange_actors[number] = work.actor_count + place[actor_of]
            work.actor_count += len(at)
        return work.exchange_actors[number]

    def _deps(self) -> tuple[Rows, list[Tasks]]:
        """Return what each task waits for, and the tasks that each token stands for."""
        script, tokens = self.script, self._tokens()
        counts = np.array([len(tasks) for tasks in tokens], dtype=np.int64)
        table = np.array([task for tasks in tokens for task in tasks], dtype=np.int64)
        token, is_token = -1 - script.waits, script.waits < 0
        lengths = np.where(is_token, counts[np.where(is_token, token, 0)], 1)
        back = np.repeat(np.arange(len(token)), lengths)
        within = np.arange(len(back)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found = self.first + script.waits[back]
        some = is_token[back]
        begin = np.cumsum(counts) - counts
        found[some] = table[begin[token[back[some]]] + within[some]]
        move = script.waiting[back]
        keys = np.sort((move << 32) | found)  # ascending in every row
        keys = keys[np.diff(keys, prepend=-1) > 0]
        move, found = keys >> 32, keys & 0xFFFFFFFF
        return Rows(lengths=np.bincount(move, minlength=len(script.src)), ids=found), tokens

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
            may_land.append((*ready, *(task for task in earlier if task is not None)))
        return [*self.ready, *may_land]

    def _tasks(self, waits: Tasks, tokens: list[Tasks]) -> Tasks:
        """Return the tasks that moves and tokens stand for."""
        found: set[int] = set()
        for wait in waits:
            found.update(tokens[-1 - wait] if wait < 0 else (self.first + wait,))
        return tuple(sorted(found))

    def _note(self, waited: Ints) -> None:
        """Note what ends the step so far, and the last additions of each rank."""
        work, script, adds = self.work, self.script, self.script.adds
        inside = waited >= self.first
        is_end = np.ones(len(script.src), dtype=np.bool_)
        is_end[waited[inside] - self.first] = False
        work.tails.difference_update(np.unique(waited[~inside]).tolist())
        work.tails.update((self.first + np.flatnonzero(is_end)).tolist())
        ranks, at = np.unique(script.src[adds][::-1], return_index=True)
        for rank, place in zip(ranks.tolist(), at.tolist(), strict=True):
            task = self.first + int(adds[len(adds) - 1 - place])
            work.landed[self.made.group[rank], self.made.number] = task
