"""The input pipeline: disk read, decode and host copy of later microbatches beside the step.

Stages are actors with credits like all others. A reader reads microbatch after microbatch into the
``stored`` register of decode worker ``k mod D``; that worker decodes it into its ``x`` and
``labels``; the rank copies both into its own. Each register has ``Plan.prefetch`` slots, so nobody
runs further ahead. Microbatches are dealt in turn, so their order is the same in every run. A copy
by the cores that compute is part of its step; one by an engine of its own runs ahead, as far as
``Plan.input_slots`` allow.

ASSUMES: the workers of a host share one disk, which serves one read at a time, and a read takes no
core. A decode worker that has no core to itself (``Plan.decode_cores``) takes that of its rank: it
holds the compute lane. Other op costs are those measured without decoding beside them. Disks and
host cores are not part of a cluster's profile, so where nothing is measured, read and decode are
priced at the device's peaks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hwprofiles.units import to_ps
from planner.input_calls import InputCalls
from planner.lowering import PRIORITY, Lowering
from planner.opcall import OpCall
from planner.plan import Plan, Training
from planner.program import StageTask, View
from planner.rings import ring_views


def has_core(plan: Plan, rank: int, worker: int) -> bool:
    """Whether decode worker ``worker`` of ``rank`` has a core to itself; ranks take turns."""
    return worker * plan.workers + rank < plan.decode_cores


def read_ps(op_ps: int, call: OpCall, training: Training) -> int:
    """Return how long the disk is held by one read: what it takes, or what the throttle lets it."""
    limit = training.source.throttle_bytes_per_s
    return max(op_ps, to_ps(call.moved_bytes / limit)) if limit else op_ps


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What is ready to be copied: the task that decoded it, and where it lies."""

    task: int
    views: tuple[View, ...]


@dataclass(slots=True, kw_only=True)
class Feed:
    """The pipeline of one rank, while its tasks are appended."""

    work: Lowering
    rank: int
    disk: int
    """Lane of the disk."""
    decoding: list[list[int]]
    """By decode worker: the lanes that it holds."""
    calls: InputCalls
    fed: int = 0
    """Microbatches so far, over all steps."""
    last_read: list[int] = field(default_factory=list)

    def append(self, number: int) -> Decoded:
        """Append read and decode of the next microbatch, which is ``number`` of its step."""
        plan, (read, decode) = self.work.plan, (self.calls.read, self.calls.decode)
        turn, worker = divmod(self.fed, plan.decode_workers)
        views = ring_views(self.calls, worker, turn % plan.prefetch)
        price_ps = read_ps(self.work.price_ps(self.rank, read), read, self.work.training)
        first = self._stage("read", number, read, price_ps, views[:1], [self.disk], self.last_read)
        price_ps = self.work.price_ps(self.rank, decode)
        lanes, reads = self.decoding[worker], [(first, views[0].register)]
        second = self._stage("decode", number, decode, price_ps, views[1:], lanes, (), reads)
        self.last_read = [first]
        self.fed += 1
        return Decoded(task=second, views=views[1:])

    def _stage(  # noqa: PLR0913 - the columns of a task
        self,
        phase: str,
        number: int,
        call: OpCall,
        duration_ps: int,
        writes: Sequence[View],
        lanes: Sequence[int],
        after: Sequence[int],
        reads: Sequence[tuple[int, str]] = (),
    ) -> int:
        """Append one firing; each register is written in turn."""
        work, ids = self.work, self.work.register_ids[self.rank]
        taken = [ids[view.register] for view in writes]
        turns = [work.last_writer[register] for register in taken if register in work.last_writer]
        task = work.graph.compute(
            lanes,
            duration_ps,
            actor=work.actor(self.rank, writes[0].register),
            priority=PRIORITY["load"],
            after=[*after, *turns],
            reads=[(writer, ids[register]) for writer, register in reads],
            writes=taken,
        )
        work.last_writer.update(dict.fromkeys(taken, task))
        info = StageTask(
            name=phase,
            rank=self.rank,
            phase=phase,
            call=call,
            views=tuple(writes),
            microbatch=number,
        )
        work.tasks.append(info)
        return task


def feeds_of(work: Lowering) -> dict[int, Feed]:
    """Return the pipeline of each rank, with its lanes and registers; none where a plan has none.

    They belong to the hosts, which come after the devices: host 0 is device ``len(devices)``.
    """
    plan = work.plan
    if not plan.decode_workers:
        return {}
    calls = work.calls.inputs
    assert calls is not None
    disks: dict[int, int] = {}
    feeds = {}
    for rank, device in enumerate(plan.placement):
        per_host = work.cluster.routing.node_devices
        host = len(work.cluster.devices) + (device // per_host if per_host else 0)
        if host not in disks:
            disks[host] = work.graph.lane(host)
        for register in work.ring:
            work.register_ids[rank].beside[register.name] = work.graph.register(
                host, register.slots, register.stride_bytes
            )
            work.register_names.add([register.name], f"host.{rank}")
        core = work.lanes[rank, "compute"]
        feeds[rank] = Feed(
            work=work,
            rank=rank,
            disk=disks[host],
            decoding=[
                [work.graph.lane(host), *([] if has_core(plan, rank, worker) else [core])]
                for worker in range(plan.decode_workers)
            ],
            calls=calls,
        )
    return feeds
