"""Facts of one simulated step: its critical path, what exchange costs, who waits, busy wires."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.units import PS_PER_S, Floats, Ints
from planner.program import ComputeTask, Program, Task, TransferTask
from planner.records import edges_of
from planner.wires import Tier, WireName, name_wires
from sim.critical_path import critical_path
from sim.timeline import Timeline

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPart:
    """What one phase has of the critical path."""

    phase: str
    seconds: float
    frac: float
    """Of the whole path, which is the step."""
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """Transfers and what hides them; each a mean over the ranks, seconds of a step."""

    total_s: float
    """In which a transfer of the rank is under way."""
    hidden_s: float
    """The part in which the rank computes; additions of the exchange itself do not count."""
    exposed_s: float
    """The rest."""
    hidden_frac: float
    """Of ``total_s``; 0 where nothing is sent."""
    exposed_frac: float
    """Exposed time, of the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireUse:
    """What one wire carries in one direction in a step."""

    ends: str
    bytes: int
    utilisation_frac: float
    """Bytes over what the wire could have carried in the time of the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUse:
    """What all wires of one part between ends of one kind carry in a step."""

    name: str
    link: str
    """Name of the part."""
    tier: Tier
    wires: int
    """Directions counted one by one."""
    wires_used: int
    bytes: int
    utilisation_frac: float
    """Mean over the wires."""
    busiest: WireUse | None
    """None where nothing is carried."""


def path_parts(program: Program, timeline: Timeline) -> tuple[PathPart, ...]:
    """Return what each phase has of the critical path, the longest first."""
    length_ps: dict[str, int] = {}
    tasks: dict[str, int] = {}
    for task in critical_path(program.graph, timeline):
        phase = program.deed(task).phase
        span_ps = int(timeline.end_ps[task] - timeline.start_ps[task])
        length_ps[phase] = length_ps.get(phase, 0) + span_ps
        tasks[phase] = tasks.get(phase, 0) + 1
    total_ps = sum(length_ps.values()) or 1
    parts = [
        PathPart(phase=phase, seconds=ps / PS_PER_S, frac=ps / total_ps, tasks=tasks[phase])
        for phase, ps in length_ps.items()
    ]
    return tuple(sorted(parts, key=lambda part: (-part.seconds, part.phase)))


def communication(program: Program, timeline: Timeline) -> Communication:
    """Return how long transfers take and how much of it computation hides."""
    total_ps = hidden_ps = 0
    for tasks in _by_rank(program):
        sent = [t for t in tasks if isinstance(program.tasks[t], TransferTask)]
        work = [t for t in tasks if _computes(program.tasks[t])]
        under_way = _union(_spans(timeline, sent))
        total_ps += _length(under_way)
        hidden_ps += _length(_common(under_way, _union(_spans(timeline, work))))
    total_s, hidden_s = (ps / program.ranks / PS_PER_S for ps in (total_ps, hidden_ps))
    return Communication(
        total_s=total_s,
        hidden_s=hidden_s,
        exposed_s=total_s - hidden_s,
        hidden_frac=hidden_ps / total_ps if total_ps else 0.0,
        exposed_frac=(total_s - hidden_s) / timeline.makespan_s if total_ps else 0.0,
    )


def input_stall_s(program: Program, timeline: Timeline) -> float:
    """Return how long a rank waits for its records in a step, seconds, a mean over the ranks.

    It waits while a load is under way for which it computes nothing, a load by the computing lane
    itself included.
    """
    waits_ps = 0
    for tasks in _by_rank(program):
        loads = [t for t in tasks if program.tasks[t].phase == "load"]
        others = [t for t in tasks if program.tasks[t].phase != "load"]
        loading = _union(_spans(timeline, loads))
        busy = _common(loading, _union(_spans(timeline, others)))
        waits_ps += _length(loading) - _length(busy)
    return waits_ps / program.ranks / PS_PER_S


def waiting_s(program: Program, timeline: Timeline) -> float:
    """Return how long a rank does nothing in a step, seconds, a mean over the ranks.

    It neither computes nor loads, and none of its transfers is under way: it waits for others.
    """
    busy_ps = sum(_length(_union(_spans(timeline, tasks))) for tasks in _by_rank(program))
    return timeline.makespan_s - busy_ps / program.ranks / PS_PER_S


def link_uses(program: Program, timeline: Timeline, cluster: Cluster) -> tuple[LinkUse, ...]:
    """Return what the wires of ``cluster`` carry, the group with the busiest wire first."""
    carried = wire_bytes(program, len(cluster.links))
    wires = name_wires(edges_of(cluster), cluster.links, cluster.routing)
    could = np.array([link.bandwidth_bytes_per_s for link in cluster.links]) * timeline.makespan_s
    groups: dict[tuple[str, Tier], list[int]] = {}
    for i, wire in enumerate(wires):
        groups.setdefault((wire.group, wire.tier), []).append(i)
    uses = [_use(wires, ids, carried, carried / could) for ids in groups.values()]
    return tuple(sorted(uses, key=lambda use: (-_busiest_frac(use), use.name)))


def _busiest_frac(use: LinkUse) -> float:
    return use.busiest.utilisation_frac if use.busiest else 0.0


def _use(wires: Sequence[WireName], ids: Sequence[int], carried: Ints, frac: Floats) -> LinkUse:
    top = max(ids, key=lambda i: (frac[i], -i))
    first = wires[ids[0]]
    busiest = WireUse(
        ends=wires[top].ends, bytes=int(carried[top]), utilisation_frac=float(frac[top])
    )
    return LinkUse(
        name=first.group,
        link=first.link.name,
        tier=first.tier,
        wires=len(ids),
        wires_used=int(np.count_nonzero(carried[ids])),
        bytes=int(carried[ids].sum()),
        utilisation_frac=float(np.mean(frac[ids])),
        busiest=busiest if busiest.bytes else None,
    )


def wire_bytes(program: Program, wires: int) -> Ints:
    """Return the bytes that each of ``wires`` wires carries in a step, shape (wires,)."""
    graph = program.graph
    carried = np.zeros(wires, dtype=np.int64)
    sent = graph.route >= 0
    by_route = np.bincount(
        graph.route[sent],
        weights=graph.payload_bytes[sent].astype(np.float64),
        minlength=len(graph.route_ptr) - 1,
    )
    for route, total in enumerate(by_route.tolist()):
        carried[graph.row("route", route)] += round(total)
    return carried


def _by_rank(program: Program) -> list[list[int]]:
    """Return the tasks in which each rank takes part, ascending."""
    found: list[list[int]] = [[] for _ in range(program.ranks)]
    for task, info in enumerate(program.tasks):
        for rank in info.ranks:
            found[rank].append(task)
    return found


def _computes(info: Task) -> bool:
    return isinstance(info, ComputeTask) and info.phase not in ("load", "exchange")


def _spans(timeline: Timeline, tasks: Iterable[int]) -> list[Span]:
    ids = list(tasks)
    pairs = zip(timeline.start_ps[ids].tolist(), timeline.end_ps[ids].tolist(), strict=True)
    return [span for span in pairs if span[0] < span[1]]


def _union(spans: Iterable[Span]) -> list[Span]:
    """Return disjoint spans in order that cover the same instants."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _common(a: Sequence[Span], b: Sequence[Span]) -> list[Span]:
    """Return the spans that two lists of disjoint spans in order have in common."""
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        start, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if start < end:
            found.append((start, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return found


def _length(spans: Iterable[Span]) -> int:
    return sum(end - start for start, end in spans)


def seconds_by_phase(parts: Iterable[PathPart]) -> Mapping[str, float]:
    """Return the seconds of the critical path by phase."""
    return {part.phase: part.seconds for part in parts}
