"""The exchange of one bucket as a block: at once what ``planner.bucket_exchange`` appends in turn.

Between all workers, in a program of one step, the moves of an algorithm are the same for every
bucket but for their widths. So they are put in arrays once, and written for each bucket without
looking at the moves again: the same tasks, number by number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from hwprofiles.units import Ints, to_ps
from planner.collectives.base import Tasks, is_switched, name_at
from planner.emitted import Emitted, emitted
from planner.lowering import PRIORITY, Lowering
from planner.moves import block_edges
from planner.opcall import DTYPE_BYTES
from planner.plan import Bucket
from planner.registers import landing_name
from planner.task import ComputeTask, Task, TransferTask, View
from sim.blocks import Rows, narrow
from sim.taskgraph import NO_ROUTE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """The moves of an algorithm on so many ranks, whatever the bucket; T of them."""

    emitted: Emitted
    src: Ints
    dst: Ints
    first: Ints
    end: Ints
    """(T,) blocks."""
    adds: Ints
    """(T,) bool."""
    lands: Ints
    """(T,) bool."""
    arrived: Ints
    """(T,) which of the transfers an addition reads, -1 for none."""
    turn: Ints
    """(T,) how many arrivals came before at that rank."""
    actor: Ints
    """(T,) in the order in which they appear."""
    pairs: Ints
    """Distinct (source, destination) of transfers, in the order in which they appear."""
    pair_of: Ints
    """(T,) which of them, -1 for an addition."""
    dep_lengths: Ints
    """(T,) number of moves that each waits for."""
    deps: Ints
    outer: tuple[tuple[int, tuple[int, ...], bool], ...]
    """Moves that wait for tasks before the exchange: which, of which ranks, and whether they are
    the first to land."""
    last_add: tuple[tuple[int, int], ...]
    """(rank, its last addition)."""


@cache
def template(name: str, ranks: int) -> Template:
    """Return the moves of an algorithm as arrays."""
    found = emitted(name, ranks)
    moves = found.moves
    src, dst, first, end, arrived = np.array(
        [(m.src, m.dst, m.first, m.end, m.arrived) for m in moves], dtype=np.int64
    ).T
    lands, adds = np.array([m.lands for m in moves]), arrived >= 0
    waits = [sorted({task for task in m.after if task >= 0}) for m in moves]
    landed: dict[int, int] = {}
    turn = []
    for move in moves:
        turn.append(landed.get(move.dst, 0))
        if move.lands:
            landed[move.dst] = turn[-1] + 1
    outer = [
        (at, tuple(sorted({-1 - task for task in m.after if task < 0})), m.lands and not turn[at])
        for at, m in enumerate(moves)
        if min(m.after, default=0) < 0
    ]
    joined = np.where(adds, -1, src * ranks + dst)
    pairs, pair_of = _in_order(joined)
    spans = first * (found.blocks + 1) + end
    _, actor = _in_order(np.where(adds, -1 - (src * (found.blocks + 1) ** 2 + spans), joined))
    return Template(
        emitted=found,
        src=src,
        dst=dst,
        first=first,
        end=end,
        adds=adds,
        lands=lands,
        arrived=arrived,
        turn=np.array(turn, dtype=np.int64),
        actor=actor,
        pairs=np.stack(np.divmod(pairs[pairs >= 0], ranks), axis=1),
        pair_of=np.where(adds, -1, (np.cumsum(pairs >= 0) - 1)[pair_of]),
        dep_lengths=np.array([len(row) for row in waits], dtype=np.int64),
        deps=np.array([task for row in waits for task in row], dtype=np.int64),
        outer=tuple(outer),
        last_add=tuple({m.src: at for at, m in enumerate(moves) if m.adds}.items()),
    )


def _in_order(keys: Ints) -> tuple[Ints, Ints]:
    """Return distinct keys in the order in which they appear, and which of them each is."""
    distinct, at, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(at)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return distinct[order], place[inverse]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BucketBlock:
    """The tasks of the exchange of one bucket between all workers."""

    work: Lowering
    number: int
    bucket: Bucket
    name: str
    """Of the algorithm."""
    moves: Template
    edges: Ints
    """(blocks + 1,) where blocks begin in the bucket."""

    @classmethod
    def of(cls, work: Lowering, number: int, bucket: Bucket) -> "BucketBlock | None":
        """Return the exchange of a bucket; None where it must be emitted task by task.

        That is through a switch, by several rings at once, and where some blocks are empty.
        """
        name = name_at(work.plan.algorithm, bucket.elements)
        moves = None if is_switched(name) else template(name, work.plan.workers)
        if moves is None or moves.emitted.channels > 1 or bucket.elements < moves.emitted.blocks:
            return None
        blocks = moves.emitted.blocks
        edges = block_edges(blocks, [bucket.elements])[:, 0]
        return cls(work=work, number=number, bucket=bucket, name=name, moves=moves, edges=edges)

    def append(self, ready: Sequence[Tasks]) -> list[Tasks]:
        """Append all tasks; return each rank's last ones.

        ``ready`` are, by rank, its last gradients.
        """
        work, moves = self.work, self.moves
        base = work.graph.tasks
        width = self.edges[moves.end] - self.edges[moves.first]
        payload = width * DTYPE_BYTES[work.training.dtype]
        duration_ps, route = self._prices(width, payload)
        lanes = self._by_rank(lambda rank: work.lanes[rank, "send"])[moves.src]
        compute = self._by_rank(lambda rank: work.lanes[rank, "compute"])[moves.src]
        receive = self._by_rank(lambda rank: work.lanes[rank, "receive"])[moves.dst]
        landing = self._by_rank(lambda rank: work.register_ids[rank].get(self.landing, -1))
        work.graph.mixed(
            {
                "duration_ps": duration_ps,
                "payload_bytes": np.where(moves.adds, 0, payload),
                "route": route,
                "actor": work.actor_count + moves.actor,
                "priority": PRIORITY["exchange"],
            },
            np.stack([np.where(moves.adds, compute, lanes), np.where(moves.adds, -1, receive)], 1),
            self._after(base, ready),
            moves.arrived,
            np.where(moves.lands, landing[moves.dst], -1)[:, None],
        )
        work.actor_count += int(moves.actor.max()) + 1
        work.tasks.extend(self)
        work.landed.update({(rank, self.number): base + at for rank, at in moves.last_add})
        return [
            tuple(sorted({t for task in last for t in self._told(task, base, ready)}))
            for last in moves.emitted.last
        ]

    @staticmethod
    def _told(task: int, base: int, ready: Sequence[Tasks]) -> Tasks:
        return (base + task,) if task >= 0 else ready[-1 - task]

    def _by_rank(self, value: Callable[[int], int]) -> Ints:
        return np.array([value(rank) for rank in range(self.work.plan.workers)], dtype=np.int64)

    def _prices(self, width: Ints, payload: Ints) -> tuple[Ints, Ints]:
        """Return durations, of transfers their overheads, and routes."""
        work, moves = self.work, self.moves
        cluster, placement = work.cluster, work.plan.placement
        widths, width_of = np.unique(width, return_inverse=True)
        payloads = widths * np.float64(DTYPE_BYTES[work.training.dtype])
        routes = [cluster.route(placement[a], placement[b]) for a, b in moves.pairs.tolist()]
        laws: dict[tuple[int, ...], int] = {}
        law_of = [laws.setdefault(tuple(map(id, r.links)), len(laws)) for r in routes]
        first = {law: routes[law_of.index(law)] for law in laws.values()}
        overhead = np.stack([to_ps(first[law].overhead_s(payloads)) for law in laws.values()])
        kinds = [cluster.devices[device].name for device in placement]
        adds = np.zeros((len(kinds), len(widths)), dtype=np.int64)
        for at in np.unique(width_of[moves.adds]).tolist():
            call = work.calls.add(int(widths[at]))
            adds[:, at] = [work.price_ps(rank, call) for rank in range(len(kinds))]
        sent = overhead[np.array(law_of)[moves.pair_of], width_of]
        path = np.array([work.graph.path(r.link_ids, r.flow_cap_bytes_per_s) for r in routes])
        duration: Ints = np.where(moves.adds, adds[moves.src, width_of], sent)
        return duration, np.where(moves.adds, NO_ROUTE, path[moves.pair_of])

    def _after(self, base: int, ready: Sequence[Tasks]) -> Rows:
        """Return what each task waits for: moves before it, and what came before the exchange."""
        work, moves = self.work, self.moves
        before = {rank: np.array(tasks, dtype=np.int64) for rank, tasks in enumerate(ready)}
        added = []
        for at, ranks, lands_first in moves.outer:
            waits = [before[rank] for rank in ranks]
            if lands_first:
                dst = int(moves.dst[at])
                earlier = work.layouts[dst].landing_after[self.number]
                waits.append(
                    np.array([work.landed[dst, b] for b in earlier if (dst, b) in work.landed])
                )
            added.append(waits[0] if len(waits) == 1 else np.unique(np.concatenate(waits)))
        lengths = moves.dep_lengths.copy()
        begins = np.cumsum(lengths) - lengths
        where = np.array([at for at, _, _ in moves.outer], dtype=np.int64)
        more = np.array([len(tasks) for tasks in added], dtype=np.int64)
        lengths[where] += more
        outer = np.concatenate(added).astype(np.int64)
        ids = np.insert(moves.deps + base, np.repeat(begins[where], more), outer)
        return Rows(lengths=lengths, ids=narrow(ids))

    # What the executor needs, made when somebody looks

    @property
    def landing(self) -> str:
        """Name of the register where chunks of this bucket land."""
        return landing_name(self.number)

    def __len__(self) -> int:
        return len(self.moves.src)

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of the tasks in which ``rank`` takes part."""
        found: list[int] = np.flatnonzero(
            (self.moves.src == rank) | (self.moves.dst == rank)
        ).tolist()
        return found

    def task(self, place: int) -> Task:
        """Return one of the tasks."""
        work, moves = self.work, self.moves
        first, end = (int(self.edges[blocks[place]]) for blocks in (moves.first, moves.end))
        src, dst = int(moves.src[place]), int(moves.dst[place])
        own = work.flat("gradients", self.bucket.first + first, end - first)
        if moves.adds[place]:
            arrived = self._landed(int(moves.arrived[place]))
            return ComputeTask(
                name=f"add.{self.number}[{first}:{end}]",
                rank=src,
                phase="exchange",
                call=work.calls.add(end - first),
                views=(arrived, own),
            )
        return TransferTask(
            name=f"{self.name}.{self.number}[{first}:{end}]",
            src=src,
            dst=dst,
            source=own,
            target=self._landed(place) if moves.lands[place] else own,
        )

    def _landed(self, place: int) -> View:
        """Return where a transfer lands."""
        work, moves = self.work, self.moves
        return View(
            register=self.landing,
            slot=int(moves.turn[place]) % max(1, work.plan.landing_slots),
            offset_bytes=0,
            shape=(int(self.edges[moves.end[place]] - self.edges[moves.first[place]]),),
            dtype=work.training.dtype,
        )
