"""The exchange of one bucket: spans of an algorithm become views of the flat gradient."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hwprofiles.units import to_ps
from planner.collectives.base import Span, Spans, Tasks, name_at, width_of
from planner.lowering import PRIORITY, Lowering
from planner.opcall import DTYPE_BYTES
from planner.plan import Bucket
from planner.program import ComputeTask, TransferTask, View
from planner.registers import landing_name
from planner.switching import SWITCH, route_between


@dataclass(slots=True)
class BucketExchange:
    """What an algorithm sees of one bucket (``planner.collectives.base.Exchange``).

    Its rank ``i`` is worker ``group[i]``.
    """

    work: Lowering
    number: int
    bucket: Bucket
    group: tuple[int, ...]
    ready: tuple[Tasks, ...] = ()
    """By rank of the group: its last gradients, after which the landing register may be used."""
    last_landing: dict[str, int] = field(default_factory=dict)
    """By register, with its rank: the last arrival."""
    landed: Counter[str] = field(default_factory=Counter)
    """By register, with its rank: arrivals so far."""
    last_add: dict[int, int] = field(default_factory=dict)
    fold: None = None

    @property
    def ranks(self) -> int:
        """Number of workers in the group."""
        return len(self.group)

    @property
    def elements(self) -> int:
        """Gradients in the bucket."""
        return self.bucket.elements

    def _slot(self, rank: int, channel: int, elements: int) -> View:
        work, register = self.work, landing_name(self.number, channel)
        slots = max(1, work.plan.landing_slots)
        return View(
            register=register,
            slot=self.landed[_at(register, rank)] % slots,
            offset_bytes=0,
            shape=(elements,),
            dtype=work.training.dtype,
        )

    def _own(self, span: Span) -> View:
        first, end = span
        return self.work.flat("gradients", self.bucket.first + first, end - first)

    def send(
        self,
        src: int,
        dst: int,
        span: Span,
        *,
        after: Tasks,
        landing: bool,
        channel: int = 0,
        more: Spans = (),
    ) -> int:
        """Append a transfer; arrivals of one landing register keep their order (FIFO).

        The first of them waits for the gradients of the receiver too, until which its passes may
        use the bytes, and for the earlier buckets that land there.
        """
        assert not more, "a message of a plan is one view"
        work = self.work
        may_land = self.ready[dst] if self.ready else ()
        src, dst = self.group[src], self.group[dst]
        earlier = (work.landed.get((dst, b)) for b in work.layouts[dst].landing_after[self.number])
        may_land = (*may_land, *(task for task in earlier if task is not None))
        own = self._own(span)
        target = self._slot(dst, channel, width_of(span)) if landing else own
        deps, place = set(after), _at(target.register, dst)
        if landing:
            deps.update([self.last_landing[place]] if place in self.last_landing else may_land)
        lanes = [work.lane(src, "send", channel), work.lane(dst, "receive", channel)]
        task = self._transfer(
            TransferTask(name=self._name(span), src=src, dst=dst, source=own, target=target),
            lanes,
            width_of(span),
            deps,
            writes=[work.register_ids[dst][target.register]] if landing else [],
        )
        if landing:
            self.last_landing[place] = task
            self.landed[place] += 1
        return task

    def collect(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Append a transfer of the sum of all ranks, from the switch that adds it."""
        rank = self.group[rank]
        return self._switched(SWITCH, rank, self.work.lane(rank, "receive"), span, after)

    def spread(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Append a transfer to the switch, which copies it to all ranks."""
        rank = self.group[rank]
        return self._switched(rank, SWITCH, self.work.lane(rank, "send"), span, after)

    def _switched(self, src: int, dst: int, lane: int, span: Span, after: Tasks) -> int:
        own, name = self._own(span), self._name(span)
        info = TransferTask(name=name, src=src, dst=dst, source=own, target=own, members=self.group)
        return self._transfer(info, [lane], width_of(span), set(after), writes=[])

    def _name(self, span: Span) -> str:
        name = name_at(self.work.plan.algorithm, self.elements)
        return f"{name}.{self.number}[{span[0]}:{span[1]}]"

    def _transfer(
        self,
        info: TransferTask,
        lanes: Sequence[int],
        elements: int,
        deps: set[int],
        writes: Sequence[int],
    ) -> int:
        work, payload = self.work, elements * DTYPE_BYTES[self.work.training.dtype]
        route = route_between(work.cluster, work.plan.placement, info.src, info.dst)
        actor = (info.src, f"send.{self.number}.{info.dst}")
        task = work.graph.transfer(
            lanes,
            to_ps(route.overhead_s(payload)),
            payload_bytes=payload,
            route=work.graph.path(route.link_ids, route.flow_cap_bytes_per_s),
            actor=work.actor(*actor),
            priority=PRIORITY["exchange"],
            after=sorted({*deps, *work.entry(info.ranks, deps)}),
            writes=writes,
        )
        work.tails -= deps
        work.tails.add(task)
        work.tasks.append(info)
        return task

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Append the addition of what has landed; slots return in the order they were taken."""
        work, (first, end) = self.work, span
        rank = self.group[rank]
        info = work.tasks[arrived]
        assert isinstance(info, TransferTask)
        addition = ComputeTask(
            name=f"add.{self.number}[{first}:{end}]",
            rank=rank,
            phase="exchange",
            call=work.calls.add(end - first),
            views=(info.target, self._own(span)),
        )
        turn = [self.last_add[rank]] if rank in self.last_add else []
        reads = [(arrived, info.target.register)]
        task = work.compute(addition, after=[*after, *turn], reads=reads)
        self.last_add[rank] = work.landed[rank, self.number] = task
        return task


def _at(register: str, rank: int) -> str:
    return f"{register}@{rank}"
