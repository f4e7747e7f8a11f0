"""A graph run as a big-data engine would run it: stage by stage, results through the disk.

What follows a transfer belongs to a later stage: a wide dependency ends a stage, and its data is
kept on the disk of the sender, from which the next stage fetches it (Zaharia et al., NSDI 2012,
sections 4 and 5; Spark writes shuffles to disk). All tasks of a stage end before the next begins
(bulk-synchronous: Valiant, Commun. ACM 33, 1990). The result is a task graph like any other.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.units import Ints, to_ps
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import NO_ROUTE, TaskGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk of a device, and what a stage costs to begin."""

    bandwidth_bytes_per_s: float
    stage_s: float = 0.0
    """To begin a stage: its tasks are sent out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A graph in stages."""

    graph: TaskGraph
    stages: int
    disk_bytes: int
    """Written to disks and read from them."""
    place: Ints
    """(N,) where each task of the original graph is in ``graph``."""


def stages_of(graph: TaskGraph) -> Ints:
    """(N,) stage of each task: the most transfers that lie before it on a way through the graph."""
    stage = np.zeros(graph.tasks, dtype=np.int64)
    for task in range(graph.tasks):
        for dependency in graph.row("dep", task):
            after = stage[dependency] + (graph.route[dependency] != NO_ROUTE)
            stage[task] = max(stage[task], after)
    return stage


def staged(graph: TaskGraph, disk: Disk) -> Staged:
    """Return ``graph`` in stages.

    Registers bound nothing, for what lies on a disk takes no slot. Dependencies must name earlier
    tasks, as ``GraphBuilder`` has them.
    """
    build = _Build(graph=graph, disk=disk, stage=stages_of(graph))
    stages = int(build.stage.max(initial=-1)) + 1
    for number in range(stages):
        build.append(np.flatnonzero(build.stage == number).tolist())
    return Staged(
        graph=build.new.build(), stages=stages, disk_bytes=build.disk_bytes, place=build.place
    )


@dataclass(slots=True, kw_only=True)
class _Build:
    graph: TaskGraph
    disk: Disk
    stage: Ints
    new: GraphBuilder = field(default_factory=GraphBuilder)
    place: Ints = field(init=False)
    routes: list[int] = field(init=False)
    readers: list[list[int]] = field(init=False)
    disks: dict[int, int] = field(default_factory=dict)
    """Lane of each device's disk."""
    barrier: tuple[int, ...] = ()
    """What the tasks of the stage wait for."""
    disk_bytes: int = 0

    def __post_init__(self) -> None:
        graph = self.graph
        self.place = np.full(graph.tasks, -1, dtype=np.int64)
        self.readers = graph.item_readers()
        for device in graph.lane_device.tolist():
            self.new.lane(device)
        for bandwidth in graph.link_bytes_per_s.tolist():
            self.new.link(bandwidth)
        caps = enumerate(graph.route_cap_bytes_per_s.tolist())
        self.routes = [self.new.path(graph.row("route", route), cap) for route, cap in caps]
        for device in sorted(set(graph.lane_device.tolist())):
            self.disks[device] = self.new.lane(device)

    def append(self, tasks: list[int]) -> None:
        """Append the tasks of one stage, what goes through the disks, and the barrier after it."""
        for task in tasks:
            self.place[task] = self.copy(task)
        done = self.place[tasks].tolist()
        sizes = self.spilled(tasks)
        self.disk_bytes += sum(sizes.values())
        done += [
            self.new.compute(
                [self.disks[device]],
                to_ps(size / self.disk.bandwidth_bytes_per_s),
                after=done,
            )
            for device, size in sorted(sizes.items())
        ]
        begun_ps = to_ps(self.disk.stage_s)
        self.barrier = (self.new.compute([min(self.disks.values())], begun_ps, after=done),)

    def copy(self, task: int) -> int:
        """Append one task of the original graph, after the barrier."""
        graph = self.graph
        after = [*self.barrier, *self.place[graph.row("dep", task)].tolist()]
        lanes, duration_ps = graph.row("lane", task), int(graph.duration_ps[task])
        priority, route = int(graph.priority[task]), int(graph.route[task])
        if route == NO_ROUTE:
            return self.new.compute(lanes, duration_ps, priority=priority, after=after)
        return self.new.transfer(
            lanes,
            duration_ps,
            payload_bytes=int(graph.payload_bytes[task]),
            route=self.routes[route],
            priority=priority,
            after=after,
        )

    def spilled(self, tasks: list[int]) -> dict[int, int]:
        """Return what goes through each device's disk at the end of a stage, bytes.

        A transfer is written by its sender and read by its receiver; what a later stage reads is
        written and read by the device that made it.
        """
        graph, sizes = self.graph, Counter[int]()
        for task in tasks:
            if graph.route[task] != NO_ROUTE:
                ends = {int(graph.lane_device[lane]) for lane in graph.row("lane", task)}
                sizes.update(dict.fromkeys(ends, int(graph.payload_bytes[task])))
                continue
            for item in range(graph.out_ptr[task], graph.out_ptr[task + 1]):
                register = graph.out_idx[item]
                if any(self.stage[reader] > self.stage[task] for reader in self.readers[item]):
                    device = int(graph.register_device[register])
                    sizes[device] += 2 * int(graph.register_bytes[register])
        return dict(sizes)
