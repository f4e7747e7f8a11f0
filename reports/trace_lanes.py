"""Lanes of a trace: the tracks of every rank, named by what runs on them."""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.program import ComputeTask, Program, StageTask, Task, TransferTask
from sim.timeline import Timeline

ROLES = ("compute", "copy", "send", "receive", "read", "decode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A track of a rank: what one lane of it does, or the messages that it had in hand beside."""

    rank: int
    track: int
    name: str
    tasks: tuple[int, ...]
    """In order of their start."""
    is_nested: bool = True
    """Whether none begins before the one before has ended."""


def lanes_of(program: Program, timeline: Timeline) -> list[Lane]:
    """Return the lanes of all ranks, named by what runs on them.

    In a measured step a message is in hand from when it is posted, while its rank goes on
    computing: messages that overlap other work of their lane are a track by themselves.
    """
    roles: dict[tuple[int, int], set[str]] = {}
    of_lane: dict[tuple[int, int], list[int]] = {}
    rank_of = _rank_of_lane(program)
    for task, info in enumerate(program.tasks):
        for lane in program.graph.row("lane", task):
            rank = info.rank if isinstance(info, StageTask) else rank_of[lane]
            of_lane.setdefault((rank, lane), []).append(task)
            roles.setdefault((rank, lane), set()).add(_role(info, rank))
    found: list[Lane] = []
    for (rank, lane), tasks in sorted(of_lane.items()):
        played = [role for role in ROLES if role in roles[rank, lane]]
        name = "core" if len(played) > 2 else " and ".join(played)
        order = sorted(tasks, key=lambda t: (timeline.start_ps[t], timeline.end_ps[t], t))
        parts = [(name, order, True)]
        if not _follow(order, timeline):
            own = [t for t in order if not isinstance(program.tasks[t], TransferTask)]
            messages = [t for t in order if isinstance(program.tasks[t], TransferTask)]
            parts = [(name, own, _follow(own, timeline)), (f"{name}: messages", messages, False)]
        for title, part, is_nested in parts:
            track = 1 + sum(lane.rank == rank for lane in found)
            found.append(
                Lane(rank=rank, track=track, name=title, tasks=tuple(part), is_nested=is_nested)
            )
    return found


def _rank_of_lane(program: Program) -> list[int]:
    """Return the rank that owns each lane: the one that computes on its device."""
    graph = program.graph
    owner = {
        int(graph.lane_device[graph.row("lane", task)[0]]): info.rank
        for task, info in enumerate(program.tasks)
        if isinstance(info, ComputeTask)
    }
    return [owner.get(device, -1) for device in graph.lane_device.tolist()]


def _role(info: Task, rank: int) -> str:
    """Return what a lane does for a task: a stage of the input has lanes of its own."""
    if isinstance(info, TransferTask):
        return "send" if info.src == rank else "receive"
    if isinstance(info, ComputeTask):
        return "copy" if info.phase == "load" else "compute"
    return info.phase


def _follow(order: Sequence[int], timeline: Timeline) -> bool:
    """Whether each of these tasks begins no sooner than the one before has ended."""
    start, end = timeline.start_ps[list(order)], timeline.end_ps[list(order)]
    return bool((start[1:] >= end[:-1]).all())
