"""The exchange of one bucket: spans of an algorithm become views of the flat gradient."""

from dataclasses import dataclass, field

from hwprofiles.units import to_ps
from planner.collectives.base import Span, Tasks
from planner.lowering import PRIORITY, Lowering
from planner.opcall import DTYPE_BYTES
from planner.plan import Bucket
from planner.program import ComputeTask, TransferTask, View


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
    last_landing: dict[int, int] = field(default_factory=dict)
    landed: dict[int, int] = field(default_factory=dict)
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

    @property
    def landing(self) -> str:
        """Name of the register where chunks of this bucket land."""
        return f"landing.{self.number}"

    def _slot(self, rank: int, elements: int) -> View:
        work = self.work
        slots = max(1, work.plan.landing_slots)
        return View(
            register=self.landing,
            slot=self.landed.get(rank, 0) % slots,
            offset_bytes=0,
            shape=(elements,),
            dtype=work.training.dtype,
        )

    def send(
        self, src: int, dst: int, span: Span, *, after: Tasks, landing: bool, channel: int = 0
    ) -> int:
        """Append a transfer; arrivals of one landing register keep their order (FIFO).

        The first of them waits for the gradients of the receiver too, until which its passes may
        use the bytes, and for the earlier buckets that land there.
        """
        del channel
        work, (first, end) = self.work, span
        may_land = self.ready[dst] if self.ready else ()
        src, dst = self.group[src], self.group[dst]
        earlier = (work.landed.get((dst, b)) for b in work.layouts[dst].landing_after[self.number])
        may_land = (*may_land, *(task for task in earlier if task is not None))
        own = work.flat("gradients", self.bucket.first + first, end - first)
        target = self._slot(dst, end - first) if landing else own
        deps = set(after)
        if landing:
            deps.update([self.last_landing[dst]] if dst in self.last_landing else may_land)
        route = work.cluster.route(work.plan.placement[src], work.plan.placement[dst])
        payload = (end - first) * DTYPE_BYTES[work.training.dtype]
        task = work.graph.transfer(
            [work.lanes[src, "send"], work.lanes[dst, "receive"]],
            to_ps(route.overhead_s(payload)),
            payload_bytes=payload,
            route=work.graph.path(route.link_ids, route.flow_cap_bytes_per_s),
            actor=work.actor(src, f"send.{self.number}.{dst}"),
            priority=PRIORITY["exchange"],
            after=sorted({*deps, *work.entry((src, dst), deps)}),
            writes=[work.register_ids[dst][self.landing]] if landing else (),
        )
        work.tails -= deps
        work.tails.add(task)
        if landing:
            self.last_landing[dst] = task
            self.landed[dst] = self.landed.get(dst, 0) + 1
        work.tasks.append(
            TransferTask(
                name=f"{work.plan.algorithm}.{self.number}[{first}:{end}]",
                src=src,
                dst=dst,
                source=own,
                target=target,
            )
        )
        return task

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Append the addition of what has landed; slots return in the order they were taken."""
        work, (first, end) = self.work, span
        rank = self.group[rank]
        info = work.tasks[arrived]
        assert isinstance(info, TransferTask)
        own = work.flat("gradients", self.bucket.first + first, end - first)
        addition = ComputeTask(
            name=f"add.{self.number}[{first}:{end}]",
            rank=rank,
            phase="exchange",
            call=work.calls.add(end - first),
            views=(info.target, own),
        )
        turn = [self.last_add[rank]] if rank in self.last_add else []
        task = work.compute(addition, after=[*after, *turn], reads=[(arrived, self.landing)])
        self.last_add[rank] = work.landed[rank, self.number] = task
        return task
