"""Slow and obvious: what every timeline must satisfy, written without looking at the engines."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise

from sim.taskgraph import TaskGraph
from sim.timeline import Timeline

REL_FLOAT64 = Fraction(1, 10**9)
"""Room for the rounding of a few dozen float64 operations on the bytes of one flow."""


def validate_timeline(graph: TaskGraph, timeline: Timeline) -> None:
    """Assert everything below."""
    assert len(timeline.start_ps) == len(timeline.end_ps) == graph.tasks
    durations_are_exact(graph, timeline)
    dependencies_are_respected(graph, timeline)
    no_lane_is_held_twice(graph, timeline)
    slots_are_never_exceeded(graph, timeline)
    flows_get_their_fair_share(graph, timeline)
    nothing_waits_without_reason(graph, timeline)
    lanes_choose_in_order(graph, timeline)


def _spans(timeline: Timeline) -> list[tuple[int, int]]:
    return list(zip(timeline.start_ps.tolist(), timeline.end_ps.tolist(), strict=True))


def durations_are_exact(graph: TaskGraph, timeline: Timeline) -> None:
    for task, (start, end) in enumerate(_spans(timeline)):
        duration = int(graph.duration_ps[task])
        assert start >= 0
        if graph.is_flow(task):
            route = int(graph.route[task])
            rates = [graph.link_bytes_per_s[link] for link in graph.row("route", route)]
            fastest = Fraction(float(min([*rates, graph.route_cap_bytes_per_s[route]])))
            lone_ps = int(graph.payload_bytes[task]) / fastest * 10**12
            too_fast = f"flow {task} is faster than a lone one"
            assert end - start >= duration + lone_ps * (1 - REL_FLOAT64), too_fast
            assert end - start >= duration + 1, too_fast
        else:
            assert end - start == duration, f"task {task} does not last as long as it should"


def dependencies_are_respected(graph: TaskGraph, timeline: Timeline) -> None:
    spans = _spans(timeline)
    for task, (start, _) in enumerate(spans):
        for dependency in graph.row("dep", task):
            assert start >= spans[dependency][1], f"task {task} starts before {dependency} ends"


def no_lane_is_held_twice(graph: TaskGraph, timeline: Timeline) -> None:
    spans = _spans(timeline)
    for lane in range(len(graph.lane_device)):
        held = sorted(spans[t] for t in range(graph.tasks) if lane in graph.row("lane", t))
        for (_, end), (start, _) in pairwise(held):
            assert start >= end, f"lane {lane} is held twice at {start} ps"


def item_spans(graph: TaskGraph, timeline: Timeline) -> list[tuple[int, int, int]]:
    """Return (register, start of the writer, end of the last reader) of every item."""
    spans = _spans(timeline)
    items = []
    readers: dict[int, list[int]] = {}
    for task in range(graph.tasks):
        for item in graph.row("in", task):
            readers.setdefault(item, []).append(task)
    for task in range(graph.tasks):
        for register in graph.row("out", task):
            ends = [spans[r][1] for r in readers.get(len(items), [task])]
            items.append((register, spans[task][0], max(ends)))
    return items


def slots_are_never_exceeded(graph: TaskGraph, timeline: Timeline) -> None:
    items = item_spans(graph, timeline)
    for register, start, end in items:
        same = [(s, e) for r, s, e in items if r == register]
        if start == end:
            inside = 1 + sum(s < start < e for s, e in same)
        else:  # a slot that returns at an instant can be taken again at that instant
            inside = sum(s <= start < e for s, e in same)
        slots = graph.register_slots[register]
        assert inside <= slots, f"register {register} holds {inside} items in {slots} slots"


def fair_by_raising_all(
    links: list[list[int]], caps: list[Fraction | float], bandwidth: list[Fraction]
) -> list[Fraction]:
    """Return max-min fair rates by raising all flows together until something is full."""
    rates = [Fraction(0)] * len(links)
    rising = set(range(len(links)))
    while rising:
        rooms: list[Fraction] = []
        for link, limit in enumerate(bandwidth):
            on = [f for f, crossed in enumerate(links) if link in crossed]
            if rising.intersection(on):
                used = sum((rates[f] for f in on), Fraction(0))
                rooms.append((limit - used) / len(rising.intersection(on)))
        rooms += [caps[f] - rates[f] for f in rising if caps[f] != float("inf")]
        for flow in rising:
            rates[flow] += min(rooms)
        full = [
            sum((rates[f] for f, crossed in enumerate(links) if link in crossed), Fraction(0))
            == limit
            for link, limit in enumerate(bandwidth)
        ]
        rising = {
            f for f in rising if rates[f] != caps[f] and not any(full[link] for link in links[f])
        }
    return rates


def flows_get_their_fair_share(graph: TaskGraph, timeline: Timeline) -> None:
    """Replay the flows with exact fractions between the instants at which they start and end."""
    spans = _spans(timeline)
    flows = [t for t in range(graph.tasks) if graph.is_flow(t)]
    joined = {t: spans[t][0] + int(graph.duration_ps[t]) for t in flows}
    bandwidth = [Fraction(b) for b in graph.link_bytes_per_s.tolist()]
    cap = graph.route_cap_bytes_per_s.tolist()
    moved = dict.fromkeys(flows, Fraction(0))
    last_rate = dict.fromkeys(flows, Fraction(0))
    instants = sorted({*joined.values(), *(spans[t][1] for t in flows)})
    for begin, end in pairwise(instants):
        active = [t for t in flows if joined[t] <= begin and spans[t][1] >= end]
        routes = [int(graph.route[t]) for t in active]
        caps = [cap[r] if cap[r] == float("inf") else Fraction(cap[r]) for r in routes]
        rates = fair_by_raising_all([graph.row("route", r) for r in routes], caps, bandwidth)
        for task, rate in zip(active, rates, strict=True):
            moved[task] += rate * (end - begin) / 10**12
            last_rate[task] = rate
    for task in flows:
        payload = int(graph.payload_bytes[task])
        dust = payload * REL_FLOAT64
        last_ps = last_rate[task] / 10**12
        assert moved[task] >= payload - dust, f"flow {task} ends before its bytes have arrived"
        late = f"flow {task} ends long after its bytes have arrived"
        assert moved[task] <= payload + last_ps * (1 + REL_FLOAT64) + dust, late


def nothing_waits_without_reason(graph: TaskGraph, timeline: Timeline) -> None:
    """Between two instants, a task that waits lacks a dependency, a lane or a slot."""
    spans = _spans(timeline)
    items = item_spans(graph, timeline)
    instants = sorted({0, *(instant for span in spans for instant in span)})
    for begin, end in pairwise(instants):
        held_lanes = {
            lane
            for task, (s, e) in enumerate(spans)
            if s <= begin and e >= end
            for lane in graph.row("lane", task)
        }
        held_slots = Counter(r for r, s, e in items if s <= begin and e >= end)
        for task, (start, _) in enumerate(spans):
            if start < end or any(spans[d][1] > begin for d in graph.row("dep", task)):
                continue
            needs = Counter(graph.row("out", task))
            lacks_slot = any(
                held_slots[r] + count > graph.register_slots[r] for r, count in needs.items()
            )
            lacks_lane = not held_lanes.isdisjoint(graph.row("lane", task))
            assert lacks_slot or lacks_lane, f"task {task} waits for nothing at {begin} ps"


def lanes_choose_in_order(graph: TaskGraph, timeline: Timeline) -> None:
    """Of two tasks that need the same lanes and no slot, the one with the lesser key is first."""
    spans = _spans(timeline)
    free = [t for t in range(graph.tasks) if not graph.row("out", t)]
    eligible = {t: max((spans[d][1] for d in graph.row("dep", t)), default=0) for t in free}
    key = {t: (int(graph.priority[t]), eligible[t], t) for t in free}
    for a in free:
        for b in free:
            both = graph.row("lane", a) == graph.row("lane", b) and eligible[b] < spans[a][0]
            if both and spans[a][0] < spans[b][0]:
                assert key[a] < key[b], f"task {a} goes before {b} on the same lanes"
