"""The reference engine, on SimPy, written to be read. Semantics in ``sim``, twin ``heap_engine``.

Every running task is a SimPy process. One arbiter process decides who starts, one network process
shares the links. SimPy orders the events of an instant by priority, and that order is the
semantics: first all that ends (``NORMAL``), then the arbiter (``_ARBITRATE``), which may start
tasks that end at once and so bring about another round, and last the network (``_SHARE``).
``simpy.Resource`` is not used: it serves requests in the order in which they were made, one
resource at a time.
"""

import math
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

import simpy
from simpy.events import EventPriority

from hwprofiles.errors import LinkLost
from hwprofiles.units import PS_PER_S
from sim.disturbances import QUIET, Disturbances, LinkChange
from sim.fair import fair_rates, finish_ps
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline
from sim.waits import deadlock

Process = Generator[simpy.Event, object, None]
Launch = Callable[[int], Process]
"""What a task does between taking its lanes and beginning to work."""

_ARBITRATE = EventPriority(2)  # simpy.events.NORMAL is 1
_SHARE = EventPriority(3)


class Memory(Protocol):
    """Where the values that tasks write are kept; it decides which tasks may start."""

    def has_room(self, task: int) -> bool:
        """Whether all that the task writes has a place now."""
        ...

    def take(self, task: int) -> None:
        """Give places to all that the task writes."""
        ...

    def give_back(self, item: int) -> None:
        """Take back the place of an item that nobody has yet to read."""
        ...


class Slots:
    """Static memory: every register has its slots."""

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        self.free: list[int] = graph.register_slots.tolist()
        self.needs = [Counter(graph.row("out", task)) for task in range(graph.tasks)]

    def has_room(self, task: int) -> bool:
        """Whether every register that the task writes has the free slots for it."""
        return all(self.free[r] >= count for r, count in self.needs[task].items())

    def take(self, task: int) -> None:
        """Take the slots."""
        for register, count in self.needs[task].items():
            self.free[register] -= count

    def give_back(self, item: int) -> None:
        """Return the slot."""
        self.free[self.graph.out_idx[item]] += 1


def simulate(
    graph: TaskGraph,
    *,
    memory: Memory | None = None,
    launcher: Callable[[simpy.Environment], Launch] | None = None,
    disturbances: Disturbances = QUIET,
) -> Timeline:
    """Return when every task starts and ends.

    Parameters
    ----------
    memory : Memory, optional
        Where values are kept, if not in the slots of their registers.
    launcher : function, optional
        Called once with the environment; what it returns is called with every task that starts, and
        is what the task waits for before it works, its lanes and its memory held.
    disturbances : Disturbances, optional
        What happens to the links meanwhile.

    Raises
    ------
    DeadlockError
        When tasks are left that can never start.
    LinkLost
        When a link fails and a transfer has no other way.
    PlanError
        When the step is longer than 2**63 picoseconds.
    """
    env = simpy.Environment()
    network = _Network(env, graph, disturbances)
    arbiter = _Arbiter(env, graph, network, memory or Slots(graph), launcher)
    env.run()
    if len(arbiter.end_ps) < graph.tasks:
        tasks = range(graph.tasks)
        started = [task in arbiter.start_ps for task in tasks]
        raise deadlock(graph, started, [task in arbiter.end_ps for task in tasks])
    start_ps = [arbiter.start_ps[task] for task in range(graph.tasks)]
    return Timeline.from_lists(start_ps, [arbiter.end_ps[task] for task in range(graph.tasks)])


class _Bell(simpy.Event):
    """An event that comes later in the instant in which it is rung, however often it is rung."""

    def __init__(self, env: simpy.Environment, priority: EventPriority) -> None:
        super().__init__(env)
        self.priority = priority

    def ring(self) -> None:
        """Trigger it. ``Event.succeed`` does the same, always at normal priority."""
        if not self.triggered:
            self._ok, self._value = True, None
            self.env.schedule(self, priority=self.priority)


class _Arbiter:
    """Completes what ended, finds what is eligible, and lets each free lane start one task."""

    def __init__(
        self,
        env: simpy.Environment,
        graph: TaskGraph,
        network: "_Network",
        memory: Memory,
        launcher: Callable[[simpy.Environment], Launch] | None,
    ) -> None:
        tasks = range(graph.tasks)
        self.env = env
        self.graph = graph
        self.memory = memory
        self.launch = launcher(env) if launcher else None
        self.network = network
        self.start_ps: dict[int, int] = {}
        self.end_ps: dict[int, int] = {}
        self.lanes = [graph.row("lane", task) for task in tasks]
        self.unmet = [set(graph.row("dep", task)) for task in tasks]
        self.unread = [set(readers) for readers in graph.item_readers()]
        self.free_lanes = set(range(len(graph.lane_device)))
        self.dependents: list[list[int]] = [[] for _ in tasks]
        for task in tasks:
            for dependency in self.unmet[task]:
                self.dependents[dependency].append(task)
        self.ready = {task for task in tasks if not self.unmet[task]}
        self.eligible_at: dict[int, int] = {}
        self.ended: list[int] = []
        self.bell = _Bell(env, _ARBITRATE)
        env.process(self.arbitrate())

    def arbitrate(self) -> Process:
        """Do one round each time that something ended."""
        while True:
            self.find_eligible()
            for lane in sorted(self.free_lanes):
                self.start_on(lane)
            yield self.bell
            self.bell = _Bell(self.env, _ARBITRATE)
            for task in self.ended:
                self.complete(task)
            self.ended = []

    def run(self, task: int) -> Process:
        """Live the life of one task: its launch, its duration or overhead, then its flow."""
        if self.launch:
            yield from self.launch(task)
        yield self.env.timeout(int(self.graph.duration_ps[task]))
        if self.graph.is_flow(task):
            yield self.network.send(task)
        self.ended.append(task)
        self.bell.ring()

    def complete(self, task: int) -> None:
        """Free the lanes, return the slots whose last reader this was, release the dependents."""
        self.end_ps[task] = int(self.env.now)
        self.free_lanes.update(self.lanes[task])
        written = range(self.graph.out_ptr[task], self.graph.out_ptr[task + 1])
        unread_for_ever = [item for item in written if not self.unread[item]]
        read = self.graph.row("in", task)
        for item in read:
            self.unread[item].remove(task)
        for item in [*unread_for_ever, *(item for item in read if not self.unread[item])]:
            self.memory.give_back(item)
        for dependent in self.dependents[task]:
            self.unmet[dependent].remove(task)
            if not self.unmet[dependent]:
                self.ready.add(dependent)

    def find_eligible(self) -> None:
        """Note since when each task that could start now has been able to."""
        for task in self.ready:
            if self.memory.has_room(task):
                self.eligible_at.setdefault(task, int(self.env.now))

    def start_on(self, lane: int) -> None:
        """Start the first eligible task of this lane, if it is still free and there is one."""
        candidates = [
            (int(self.graph.priority[task]), eligible_at, task)
            for task, eligible_at in self.eligible_at.items()
            if lane in self.lanes[task] and self.free_lanes.issuperset(self.lanes[task])
        ]
        if not candidates:
            return
        task = min(candidates)[-1]
        self.start_ps[task] = int(self.env.now)
        self.free_lanes.difference_update(self.lanes[task])
        self.memory.take(task)
        self.ready.remove(task)
        del self.eligible_at[task]
        for other in [other for other in self.eligible_at if not self.memory.has_room(other)]:
            del self.eligible_at[other]
        self.env.process(self.run(task))


@dataclass(slots=True, kw_only=True, eq=False)
class _Flow:
    """Bytes on their way over a route."""

    task: int
    links: list[int]
    cap_bytes_per_s: float
    left_bytes: float
    since_ps: int
    arrived: simpy.Event
    rate_bytes_per_s: float = 0.0
    finish_ps: int = -1


class _Network:
    """Shares the links among the active flows at the end of each instant that changed them."""

    def __init__(
        self, env: simpy.Environment, graph: TaskGraph, disturbances: Disturbances
    ) -> None:
        self.env = env
        self.graph = graph
        self.bandwidth: list[float] = graph.link_bytes_per_s.tolist()
        self.flows: dict[int, _Flow] = {}
        self.touched: set[int] = set()
        self.bell = _Bell(env, _SHARE)
        self.detour = disturbances.detour
        self.failed: frozenset[int] = frozenset()
        env.process(self.share())
        for change in disturbances.changes:
            env.process(self.change(change))
        for number, other in enumerate(disturbances.traffic):
            task = -1 - number  # of no task of ours
            flow = _Flow(
                task=task,
                links=[other.link],
                cap_bytes_per_s=other.most_bytes_per_s,
                left_bytes=math.inf,
                since_ps=0,
                arrived=env.event(),
            )
            self.flows[task] = flow

    def change(self, change: LinkChange) -> Process:
        """Give a link its new bandwidth when it is time; send round it if it has failed."""
        yield self.env.timeout(change.at_ps)
        link = change.link
        if not change.factor:
            self.failed |= {link}
            for flow in [flow for flow in self.flows.values() if link in flow.links]:
                self.touch(flow)
                if flow.task < 0:
                    del self.flows[flow.task]
                    continue
                flow.links = self.way(flow.task)
                self.touch(flow)
            return
        self.bandwidth[link] = float(self.graph.link_bytes_per_s[link]) * change.factor
        self.touched.add(link)
        self.bell.ring()

    def way(self, task: int) -> list[int]:
        """Return the links that a transfer crosses, round those that have failed."""
        links = self.graph.row("route", int(self.graph.route[task]))
        if self.failed.isdisjoint(links):
            return links
        found = self.detour(links, self.failed)
        if found is None:
            lost = next(link for link in links if link in self.failed)
            raise LinkLost(
                f"link {lost} has failed, and transfer {task} has no other way at"
                f" {int(self.env.now) / PS_PER_S:.6g} s; keep another path, or stop before"
            )
        return list(found)

    def send(self, task: int) -> simpy.Event:
        """Add a flow; return the event of its arrival."""
        route = int(self.graph.route[task])
        flow = _Flow(
            task=task,
            links=self.way(task),
            cap_bytes_per_s=float(self.graph.route_cap_bytes_per_s[route]),
            left_bytes=int(self.graph.payload_bytes[task]),
            since_ps=int(self.env.now),
            arrived=self.env.event(),
        )
        self.flows[task] = flow
        self.touch(flow)
        return flow.arrived

    def touch(self, flow: _Flow) -> None:
        """Have the links of this flow shared anew at the end of the instant."""
        self.touched.update(flow.links)
        self.bell.ring()

    def share(self) -> Process:
        """Solve the touched components again, each time that flows started or ended."""
        while True:
            yield self.bell
            self.bell = _Bell(self.env, _SHARE)
            flows = self.component()
            links, caps = [f.links for f in flows], [f.cap_bytes_per_s for f in flows]
            rates = fair_rates(links, caps, self.bandwidth)
            for flow, rate in zip(flows, rates, strict=True):
                if rate != flow.rate_bytes_per_s:
                    self.change_rate(flow, rate)
            self.touched = set()

    def component(self) -> list[_Flow]:
        """Return the flows joined to a touched link through shared links, by task id."""
        links: set[int] = set()
        reached = self.touched
        while reached - links:
            links |= reached
            shared = [set(f.links) for f in self.flows.values() if not links.isdisjoint(f.links)]
            reached = set().union(*shared)
        return [f for _, f in sorted(self.flows.items()) if not links.isdisjoint(f.links)]

    def change_rate(self, flow: _Flow, rate_bytes_per_s: float) -> None:
        """Settle what has arrived at the old rate, then time the rest at the new one."""
        now_ps = int(self.env.now)
        flow.left_bytes -= flow.rate_bytes_per_s * (now_ps - flow.since_ps) / PS_PER_S
        flow.since_ps = now_ps
        flow.rate_bytes_per_s = rate_bytes_per_s
        if flow.task < 0:
            return
        flow.finish_ps = finish_ps(flow.left_bytes, rate_bytes_per_s, now_ps)
        self.env.process(self.arrive(flow, flow.finish_ps))

    def arrive(self, flow: _Flow, finish: int) -> Process:
        """End the flow at ``finish``, unless a later rate moved its finish."""
        yield self.env.timeout(finish - self.env.now)
        if flow.finish_ps == finish and flow.task in self.flows:
            del self.flows[flow.task]
            self.touch(flow)
            flow.arrived.succeed()
