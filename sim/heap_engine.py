"""The fast engine: plain Python lists and heaps. Semantics in ``sim``, twin of ``simpy_engine``.

Why it does not rescan. Tasks that hold the same lanes and write the same registers, as far as these
may lack slots, are eligible together, so they wait in one *queue* and only its head can start. The
head is *posted* in the heap of each of its lanes; a posted entry that is no longer its queue's is
dropped when it surfaces. An entry whose other lane is busy is *parked* at that lane and comes back
when the lane is freed. So a free lane that was not touched in this instant has nothing to start.
Only queues in which a task waits follow what becomes of their registers; the others look when their
first task is ready.

Times are picoseconds, ``_PENDING`` where not yet known.
"""

from collections import Counter
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np

from hwprofiles.units import PS_PER_S
from sim.blocks import Ids
from sim.fair import fair_rates, finish_ps
from sim.scarce import kept, scarce_items
from sim.taskgraph import NO_ROUTE, TaskGraph
from sim.timeline import Timeline
from sim.waits import deadlock

_PENDING = -1

Entry = tuple[int, int, int]
"""(priority, eligible_at, task): the order in which a lane picks."""


def simulate(graph: TaskGraph) -> Timeline:
    """Return when every task starts and ends.

    Raises
    ------
    DeadlockError
        When tasks are left that can never start.
    PlanError
        When the step is longer than 2**63 picoseconds.
    """
    return Run(graph).timeline()


class _Queue:
    """Tasks with the same lanes and the same registers; ``short`` of them lack free slots."""

    __slots__ = ("follows", "fresh", "lanes", "needs", "opened_ps", "posted", "short", "waiting")

    def __init__(self, lanes: list[int], needs: list[tuple[int, int]]) -> None:
        self.lanes = lanes
        self.needs = needs  # (register, slots that one task takes)
        self.follows = False  # whether ``short`` is kept, as it is while a task waits
        self.short = 0
        self.opened_ps = 0
        self.waiting: list[tuple[int, int]] = []  # (priority, task), eligible since opened_ps
        self.fresh: list[Entry] = []  # became ready while the queue was open
        self.posted: Entry | None = None


class Run:
    """One simulation: the state at ``now_ps``, and one small method for each thing that happens."""

    def __init__(self, graph: TaskGraph) -> None:
        tasks = graph.tasks
        self.graph = graph
        self.now_ps = 0
        self.start_ps = [_PENDING] * tasks
        self.end_ps = [_PENDING] * tasks
        self.due_ps = [_PENDING] * tasks  # an event at another time than this is stale
        self.events: list[tuple[int, int]] = []
        self.ending: list[int] = []  # started at now_ps with zero length

        self.duration_ps: list[int] = graph.duration_ps.tolist()
        self.priority: list[int] = graph.priority.tolist()
        self.missing: list[int] = np.diff(graph.dep_ptr).tolist()
        waiting = np.repeat(np.arange(tasks), np.diff(graph.dep_ptr))
        ends = np.cumsum(np.bincount(graph.dep_idx, minlength=tasks))
        by_awaited = np.argsort(graph.dep_idx, kind="stable")
        self.children = _rows(np.append(0, ends), waiting[by_awaited])

        lanes = len(graph.lane_device)
        self.busy = [False] * lanes
        self.eligible: list[list[Entry]] = [[] for _ in range(lanes)]
        self.parked: list[list[tuple[int, Entry]]] = [[] for _ in range(lanes)]
        self.touched_lanes: set[int] = set()

        self.free: list[int] = graph.register_slots.tolist()
        self.item_register: list[int] = graph.out_idx.tolist()
        scarce = scarce_items(graph)
        self.reads = _rows(*kept(graph.in_ptr, graph.in_idx, scarce[graph.in_idx]))
        readers = np.bincount(graph.in_idx, minlength=len(scarce))
        self.readers_left: list[int] = readers.tolist()
        unread = kept(graph.out_ptr, np.arange(len(scarce)), scarce & (readers == 0))
        self.unread = _rows(*unread)
        self.queues_on: list[list[tuple[_Queue, int]]] = [[] for _ in self.free]  # that follow
        self.queue_of = self._queues(_rows(*kept(graph.out_ptr, graph.out_idx, scarce)))

        route: list[int] = graph.route.tolist()
        self.bytes_left: list[float] = graph.payload_bytes.tolist()
        self.unsent = [r != NO_ROUTE and b > 0 for r, b in zip(route, self.bytes_left, strict=True)]
        self.links = _rows(graph.route_ptr, graph.route_idx)
        self.caps: list[float] = graph.route_cap_bytes_per_s.tolist()
        self.route = route
        self.bandwidth: list[float] = graph.link_bytes_per_s.tolist()
        self.flows_on: list[set[int]] = [set() for _ in self.bandwidth]
        self.rate: dict[int, float] = {}  # of the active flows
        self.since_ps: dict[int, int] = {}
        self.touched_links: set[int] = set()

    def _queues(self, writes: list[list[int]]) -> list[_Queue]:
        """Return the queue of every task, told the registers it writes that may lack slots."""
        queues: dict[tuple[tuple[int, ...], tuple[int, ...]], _Queue] = {}
        queue_of = []
        lanes = _rows(self.graph.lane_ptr, self.graph.lane_idx)
        for held, registers in zip(lanes, writes, strict=True):
            key = (tuple(held), tuple(registers))
            if key not in queues:
                needs = sorted(Counter(registers).items())
                queues[key] = _Queue(held, needs)
            queue_of.append(queues[key])
        return queue_of

    def timeline(self) -> Timeline:
        """Run to the end."""
        for task, missing in enumerate(self.missing):
            if not missing:
                self.become_ready(task)
        self.rounds([])
        events, due_ps = self.events, self.due_ps
        while events:
            now_ps = self.now_ps = events[0][0]
            ended = []
            while events and events[0][0] == now_ps:
                task = heappop(events)[1]
                if due_ps[task] == now_ps:
                    due_ps[task] = _PENDING
                    ended.append(task)
            if ended:
                self.rounds(ended)
        if _PENDING in self.end_ps:
            started = [start_ps != _PENDING for start_ps in self.start_ps]
            raise deadlock(self.graph, started, [end_ps != _PENDING for end_ps in self.end_ps])
        return Timeline.from_lists(self.start_ps, self.end_ps)

    def rounds(self, ended: list[int]) -> None:
        """Go through one instant: rounds until nothing changes, then the flows."""
        while True:
            for task in ended:
                if self.unsent[task]:
                    self.join(task)
                else:
                    self.complete(task)
            self.start_eligible()
            if not self.ending:
                break
            ended, self.ending = self.ending, []
        if self.touched_links:
            self.share_links()

    def complete(self, task: int) -> None:
        """End a task: lanes, slots and dependents follow."""
        self.end_ps[task] = self.now_ps
        if task in self.rate:
            self.leave(task)
        for lane in self.queue_of[task].lanes:
            self.free_lane(lane)
        self.finish_reads(task)
        for item in self.unread[task]:
            self.return_slot(self.item_register[item])
        missing = self.missing
        for child in self.children[task]:
            missing[child] -= 1
            if not missing[child]:
                self.become_ready(child)

    def finish_reads(self, task: int) -> None:
        """Return the slots of the items that ``task`` was the last to read."""
        for item in self.reads[task]:
            self.readers_left[item] -= 1
            if not self.readers_left[item]:
                self.return_slot(self.item_register[item])

    def free_lane(self, lane: int) -> None:
        """Let the lane pick again, and those whose entries waited for it."""
        self.busy[lane] = False
        self.touched_lanes.add(lane)
        if self.parked[lane]:
            for other, entry in self.parked[lane]:
                heappush(self.eligible[other], entry)
                self.touched_lanes.add(other)
            self.parked[lane] = []

    def follow(self, queue: _Queue) -> None:
        """Let a queue whose first task is ready follow its registers."""
        queue.follows = True
        queue.short = 0
        for register, count in queue.needs:
            queue.short += self.free[register] < count
            self.queues_on[register].append((queue, count))

    def unfollow(self, queue: _Queue) -> None:
        """Let go of the registers of a queue in which no task waits any more."""
        queue.follows = False
        for register, count in queue.needs:
            self.queues_on[register].remove((queue, count))

    def return_slot(self, register: int) -> None:
        """Give a slot back; queues that lack no other slot become eligible."""
        self.free[register] += 1
        free = self.free[register]
        for queue, count in self.queues_on[register]:
            if free == count:
                queue.short -= 1
                if not queue.short:
                    queue.opened_ps = self.now_ps
                    self.post(queue)

    def take_slots(self, register: int, taken: int) -> None:
        """Take slots; queues that now lack one lose their eligibility."""
        before = self.free[register]
        after = self.free[register] = before - taken
        for queue, count in self.queues_on[register]:
            if after < count <= before:
                queue.short += 1
                queue.posted = None
                if queue.fresh:
                    queue.waiting += [(priority, task) for priority, _, task in queue.fresh]
                    heapify(queue.waiting)
                    queue.fresh = []

    def become_ready(self, task: int) -> None:
        """Queue a task whose dependencies are complete."""
        queue = self.queue_of[task]
        if not queue.follows:
            self.follow(queue)
        if queue.short:
            heappush(queue.waiting, (self.priority[task], task))
        else:
            heappush(queue.fresh, self.entry(self.priority[task], self.now_ps, task))
            self.post(queue)

    def entry(self, priority: int, eligible_ps: int, task: int) -> Entry:
        """Return the key by which lanes choose."""
        return (priority, eligible_ps, task)

    def post(self, queue: _Queue) -> None:
        """Offer the head of an open queue to its lanes, unless it is offered already."""
        head = queue.fresh[0] if queue.fresh else None
        if queue.waiting:
            priority, task = queue.waiting[0]
            oldest = self.entry(priority, queue.opened_ps, task)
            head = oldest if head is None or oldest < head else head
        if head is not None and head != queue.posted:
            queue.posted = head
            for lane in queue.lanes:
                heappush(self.eligible[lane], head)
                self.touched_lanes.add(lane)

    def start_eligible(self) -> None:
        """Let each free lane that was touched pick, in lane order."""
        lanes = sorted(self.touched_lanes)
        for lane in lanes:
            heap = self.eligible[lane]
            while heap and not self.busy[lane]:
                entry = heappop(heap)
                queue = self.queue_of[entry[2]]
                if queue.posted is not entry:
                    continue
                taken = next((other for other in queue.lanes if self.busy[other]), None)
                if taken is None:
                    self.start(entry[2], queue)
                else:
                    self.parked[taken].append((lane, entry))
        self.touched_lanes.clear()

    def start(self, task: int, queue: _Queue) -> None:
        """Start the head of a queue: take its lanes and slots at once."""
        now_ps = self.start_ps[task] = self.now_ps
        for lane in queue.lanes:
            self.busy[lane] = True
        if queue.fresh and queue.fresh[0] is queue.posted:
            heappop(queue.fresh)
        else:
            heappop(queue.waiting)
        queue.posted = None
        if not queue.fresh and not queue.waiting:
            self.unfollow(queue)
        for register, count in queue.needs:
            self.take_slots(register, count)
        if queue.follows and not queue.short:
            self.post(queue)
        if self.duration_ps[task]:
            self.wake_at(task, now_ps + self.duration_ps[task])
        else:
            self.ending.append(task)

    def wake_at(self, task: int, due_ps: int) -> None:
        """Set the next event of a task; an earlier setting becomes stale."""
        self.due_ps[task] = due_ps
        heappush(self.events, (due_ps, task))

    def join(self, task: int) -> None:
        """Make a transfer whose overhead is over an active flow."""
        self.unsent[task] = False
        self.rate[task] = 0.0
        self.since_ps[task] = self.now_ps
        for link in self.links[self.route[task]]:
            self.flows_on[link].add(task)
            self.touched_links.add(link)

    def leave(self, task: int) -> None:
        """Take a flow that has finished off its links."""
        del self.rate[task], self.since_ps[task]
        for link in self.links[self.route[task]]:
            self.flows_on[link].remove(task)
            self.touched_links.add(link)

    def share_links(self) -> None:
        """Solve the touched components again; flows whose rate changed get a new finish."""
        flows = sorted(self.component(self.touched_links))
        self.touched_links = set()
        if not flows:
            return
        routes = [self.route[flow] for flow in flows]
        links, caps = [self.links[r] for r in routes], [self.caps[r] for r in routes]
        for flow, rate in zip(flows, fair_rates(links, caps, self.bandwidth), strict=True):
            old_rate = self.rate[flow]
            if rate != old_rate:
                elapsed_ps = self.now_ps - self.since_ps[flow]
                self.bytes_left[flow] -= old_rate * elapsed_ps / PS_PER_S
                self.since_ps[flow] = self.now_ps
                self.rate[flow] = rate
                self.wake_at(flow, finish_ps(self.bytes_left[flow], rate, self.now_ps))

    def component(self, links: set[int]) -> set[int]:
        """Return the active flows joined to ``links`` through shared links."""
        seen, todo = set(links), list(links)
        flows: set[int] = set()
        while todo:
            for flow in self.flows_on[todo.pop()] - flows:
                flows.add(flow)
                new = [link for link in self.links[self.route[flow]] if link not in seen]
                seen.update(new)
                todo += new
        return flows


def _rows(ptr: Ids, idx: Ids) -> list[list[int]]:
    """Return the rows of a CSR pair as lists: NumPy scalars are slow to read one by one."""
    values = idx.tolist()
    return [values[a:b] for a, b in pairwise(ptr.tolist())]
