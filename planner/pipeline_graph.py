"""A pipelined step as a task graph: a task for each pass of a microbatch, and for each transfer.

The turns of a stage keep their order by dependencies. A forward pass that is run again needs no
gradient, so it may be over when that arrives, as in torchgpipe (section 3.2.2 of Kim et al., 2020).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hwprofiles.cluster import Cluster
from hwprofiles.units import to_ps
from planner.opcall import DTYPE_BYTES
from planner.pipeline import PipelinePlan, schedule
from planner.plan import Training
from planner.registers import Register
from planner.stage_times import StageTimes, Turn
from planner.stages import Crossing, Tie
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph

LANES = ("compute", "copy", "send", "receive")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """What a task of the graph is."""

    phase: str
    """``load``, ``forward``, ``recompute``, ``backward``, ``update``, ``send`` or ``return``."""
    stage: int
    """That computes, or sends."""
    microbatch: int
    """-1 for the update."""
    target: int = -1
    """Stage that receives."""

    @property
    def label(self) -> str:
        """Name for messages."""
        way = f"{self.stage}" if self.target < 0 else f"{self.stage} to {self.target}"
        return f"{self.phase} of microbatch {self.microbatch} on stage {way}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineProgram:
    """The graph of a step, and what its tasks are."""

    graph: TaskGraph
    tasks: tuple[StageTask, ...]

    def label(self, task: int) -> str:
        """Name a task."""
        return self.tasks[task].label


def pipeline_program(
    training: Training,
    plan: PipelinePlan,
    times: StageTimes,
    crossing: Sequence[Crossing],
    tied: Sequence[Tie],
    registers: Sequence[Mapping[str, Register]],
    cluster: Cluster,
) -> PipelineProgram:
    """Return one step; ``registers`` are those of each stage, by name."""
    work = _Emission(training, plan, times, crossing, tied, cluster)
    work.prepare(registers)
    queues = [
        list(reversed(schedule(plan.schedule).order(at, plan.stages, times.microbatches)))
        for at in range(plan.stages)
    ]
    while any(queues):
        for stage, turns in enumerate(queues):
            while turns and work.is_ready(stage, turns[-1]):
                work.turn(stage, turns.pop())
    work.updates()
    return PipelineProgram(graph=work.graph.build(), tasks=tuple(work.tasks))


@dataclass(slots=True)
class _Emission:
    training: Training
    plan: PipelinePlan
    times: StageTimes
    crossing: Sequence[Crossing]
    tied: Sequence[Tie]
    cluster: Cluster
    graph: GraphBuilder = field(default_factory=GraphBuilder)
    tasks: list[StageTask] = field(default_factory=list)
    lanes: dict[tuple[int, str], int] = field(default_factory=dict)
    ids: list[dict[str, int]] = field(default_factory=list)
    """By stage: its registers."""
    last: dict[int, int] = field(default_factory=dict)
    """By stage: its last turn."""
    done: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """By phase, stage (of transfers: crossing) and microbatch: the task."""
    begun: set[int] = field(default_factory=set)
    """Stages that have gradients already."""

    def prepare(self, registers: Sequence[Mapping[str, Register]]) -> None:
        """Add links, lanes and registers, and the loads of the first stage."""
        for link in self.cluster.links:
            self.graph.link(link.bandwidth_bytes_per_s)
        for stage, device in enumerate(self.plan.placement):
            holds = self.cluster.devices[device].transfers_hold_compute
            for kind in LANES:
                shared = holds and kind != "compute"
                lane = self.lanes[stage, "compute"] if shared else self.graph.lane(device)
                self.lanes[stage, kind] = lane
            self.ids.append(
                {
                    name: self.graph.register(device, found.slots, found.stride_bytes)
                    for name, found in registers[stage].items()
                }
            )

    def is_ready(self, stage: int, turn: Turn) -> bool:
        """Whether all that a turn waits for has been emitted."""
        phase = "send" if turn.phase == "forward" else "return"
        return all((phase, c, turn.microbatch) in self.done for c in self._given(stage, turn.phase))

    def _given(self, stage: int, phase: str) -> list[int]:
        """Return the crossings that a pass reads from: values, or gradients that come back."""
        if phase == "forward":
            return [i for i, c in enumerate(self.crossing) if c.target == stage]
        return [i for i, c in enumerate(self.crossing) if c.source == stage and c.returns]

    def turn(self, stage: int, turn: Turn) -> None:
        """Append a pass and what it sends."""
        if turn.phase == "forward":
            self._forward(stage, turn.microbatch)
        else:
            self._backward(stage, turn.microbatch)

    def _forward(self, stage: int, number: int) -> None:
        if stage == 0:
            self._load(number)
        given = self._given(stage, "forward")
        leaving = [i for i, c in enumerate(self.crossing) if c.source == stage]
        kept = ["kept"] if self.times.recompute == "never" else []
        writes = ["frame", *kept, *(f"sent.{i}" for i in leaving)]
        self._pass("forward", stage, number, self._inputs(stage, number, given), writes)
        for i in leaving:
            self._transfer("send", i, number)

    def _inputs(self, stage: int, number: int, given: Sequence[int]) -> list[tuple[int, str]]:
        found = [(self.done["send", i, number], f"value.{i}") for i in given]
        return found + ([(self.done["load", 0, number], "x")] if stage == 0 else [])

    def _backward(self, stage: int, number: int) -> None:
        given = self._given(stage, "forward")
        reads = self._inputs(stage, number, given)
        writes = [f"returned.{i}" for i in given if self.crossing[i].returns]
        if self.times.recomputes(number):
            self._pass("recompute", stage, number, reads, ["frame"])
            reads = [*reads, (self.done["recompute", stage, number], "frame")]
        elif self.times.recompute == "never":
            reads = [*reads, (self.done["forward", stage, number], "kept")]
            writes = ["frame", *writes]
        else:
            reads = [*reads, (self.done["forward", stage, number], "frame")]
        back = self._given(stage, "backward")
        reads += [(self.done["return", i, number], f"gradient.{i}") for i in back]
        self._pass("backward", stage, number, reads, writes)
        self.begun.add(stage)
        for i in given:
            if self.crossing[i].returns:
                self._transfer("return", i, number)

    def updates(self) -> None:
        """Append the updates, each after the last turn; tied tables go to and fro."""
        arrived: dict[int, list[tuple[int, str]]] = {}
        for number, tie in enumerate(self.tied):
            ends, landing = (tie.borrower, tie.owner), f"tied.{number}"
            after = [self.last[tie.borrower]]
            task = self._move("return", ends, tie.elements, -1, after, landing)
            arrived.setdefault(tie.owner, []).append((task, landing))
        for stage in range(self.plan.stages):
            self._pass("update", stage, -1, arrived.get(stage, []), [])
        for tie in self.tied:
            after = [self.last[tie.owner], self.last[tie.borrower]]
            self._move("send", (tie.owner, tie.borrower), tie.elements, -1, after)

    def _pass(
        self,
        phase: str,
        stage: int,
        number: int,
        reads: Sequence[tuple[int, str]],
        writes: Sequence[str],
    ) -> None:
        duration_ps = {
            "forward": self.times.forward_ps,
            "recompute": self.times.forward_ps,
            "backward": self.times.backward_ps,
            "update": self.times.update_ps,
        }[phase][stage]
        if phase == "backward" and stage in self.begun:
            duration_ps += self.times.add_ps[stage]
        ids = self.ids[stage]
        task = self.graph.compute(
            [self.lanes[stage, "compute"]],
            duration_ps,
            after=[self.last[stage]] if stage in self.last else [],
            reads=[(writer, ids[name]) for writer, name in reads],
            writes=[ids[name] for name in writes],
        )
        self.last[stage] = self.done[phase, stage, number] = task
        self.tasks.append(StageTask(phase=phase, stage=stage, microbatch=number))

    def _load(self, number: int) -> None:
        lane, x = self.lanes[0, "copy"], self.ids[0]["x"]
        task = self.graph.compute([lane], self.times.load_ps, writes=[x])
        self.done["load", 0, number] = task
        self.tasks.append(StageTask(phase="load", stage=0, microbatch=number))

    def _transfer(self, phase: str, number: int, microbatch: int) -> None:
        """Append a value to the stage that reads it, or its gradient on the way back."""
        c = self.crossing[number]
        ends = (c.source, c.target) if phase == "send" else (c.target, c.source)
        made, landing = ("sent", "value") if phase == "send" else ("returned", "gradient")
        maker = self.done["forward" if phase == "send" else "backward", ends[0], microbatch]
        self.done[phase, number, microbatch] = self._move(
            phase,
            ends,
            c.elements * self.plan.microbatch,
            microbatch,
            [(maker, f"{made}.{number}")],
            f"{landing}.{number}",
        )

    def _move(
        self,
        phase: str,
        ends: tuple[int, int],
        elements: int,
        microbatch: int,
        reads: Sequence[int | tuple[int, str]],
        landing: str = "",
    ) -> int:
        """Append a transfer between two stages.

        ``reads`` are (writer, register) pairs, or tasks that it only waits for.
        """
        src, dst = ends
        payload = elements * DTYPE_BYTES[self.training.dtype]
        route = self.cluster.route(self.plan.placement[src], self.plan.placement[dst])
        pairs = [one for one in reads if isinstance(one, tuple)]
        task = self.graph.transfer(
            [self.lanes[src, "send"], self.lanes[dst, "receive"]],
            to_ps(route.overhead_s(payload)),
            payload_bytes=payload,
            route=self.graph.path(route.link_ids, route.flow_cap_bytes_per_s),
            after=[one for one in reads if isinstance(one, int)],
            reads=[(writer, self.ids[src][name]) for writer, name in pairs],
            writes=[self.ids[dst][landing]] if landing else [],
        )
        self.tasks.append(StageTask(phase=phase, stage=src, microbatch=microbatch, target=dst))
        return task
