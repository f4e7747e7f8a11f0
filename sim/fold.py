"""Folding: tasks that do the same at the same time on lanes and links of their own, timed once.

A folded graph has one task for each *orbit* of tasks, one lane for each orbit of lanes, and one
link for each class of links. It says when all of them start and end if the flows and links form an
equitable partition: every flow of an orbit crosses the same classes of links, and every link of a
class carries as many flows of each orbit. Then a rate that is max-min fair in the folded graph is
so in the whole one, and that rate is unique (Bertsekas and Gallager, Data Networks, 2nd ed.,
section 6.5.2), so by induction over the events all members of an orbit start and end together.

Who emits a fold gives each member of an orbit lanes of its own. Where one rank stands for all,
every lane sees the same tasks, and the least one starts on all of them. Where several do, a lane
that has the choice may choose by the number of another lane, which the members of an orbit do not
share: then :func:`check_lanes` wants that no task waits for a lane.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Floats, Ints
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ways:
    """The routes of the flows of some orbits, all as one is from the point of view of its rank."""

    label: str
    """Of one of them, for people."""
    links: Ints
    """(members, hops) links that each crosses."""
    overhead_ps: Ints
    """(members,)"""
    cap_bytes_per_s: Floats
    """(members,) most that each flow can draw."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinkClasses:
    """Links that one folded link stands for."""

    bytes_per_s: Floats
    """By class: what one folded flow finds, the bandwidth over the flows that share a link."""
    links: tuple[Ints, ...]
    """By class."""
    routes: tuple[tuple[int, ...], ...]
    """By ways: the classes crossed."""


def check_fold(ways: Sequence[Ways], link_bytes_per_s: Floats) -> LinkClasses:
    """Check that links and flows form an equitable partition; return the classes of links.

    Raises
    ------
    PlanError
        Naming the first ways of which one stands for no others.
    """
    crossings = np.zeros((len(link_bytes_per_s), len(ways)), dtype=np.int64)
    for column, way in enumerate(ways):
        _check_alike(way)
        np.add.at(crossings[:, column], way.links.reshape(-1), 1)
    used = np.flatnonzero(crossings.any(axis=1))
    looks = np.column_stack([link_bytes_per_s[used], crossings[used]])
    found, members = np.unique(looks, axis=0, return_inverse=True)
    class_of = np.full(len(link_bytes_per_s), -1, dtype=np.int64)
    class_of[used] = members.reshape(-1)
    routes = tuple(_crossed(way, class_of) for way in ways)
    share = _multiplicities(found[:, 1:], ways)
    return LinkClasses(
        bytes_per_s=found[:, 0] / share,
        links=tuple(np.flatnonzero(class_of == number) for number in range(len(found))),
        routes=routes,
    )


def _check_alike(way: Ways) -> None:
    """Check that latency and cap of all members are those of the first."""
    for name, values in (("latency", way.overhead_ps), ("cap", way.cap_bytes_per_s)):
        if (values != values[0]).any():
            raise PlanError(
                f"fold: the {name} of {way.label} is not that of all it stands for (member"
                f" {int(np.argmax(values != values[0]))} differs); simulate it unfolded"
            )


def _crossed(way: Ways, class_of: Ints) -> tuple[int, ...]:
    """Return the classes that all members cross."""
    classes = np.sort(class_of[way.links], axis=1)
    other = (classes != classes[0]).any(axis=1)
    if other.any():
        raise PlanError(
            f"fold: {way.label} crosses links that are shared otherwise than those of member"
            f" {int(np.argmax(other))}; simulate it unfolded"
        )
    return tuple(np.unique(classes[0]).tolist())


def _multiplicities(crossings: Floats, ways: Sequence[Ways]) -> Floats:
    """Return by class how many flows of one orbit share a link.

    A folded link carries that many times what its one flow does. It has to be the same for all
    that cross it, and a power of two: by others a bandwidth is not divided to the bit.
    """
    most = crossings.max(axis=1, initial=1.0)
    other = np.argwhere((crossings > 0) & (crossings != most[:, None]))
    if len(other):
        link, column = other[0]
        raise PlanError(
            f"fold: a link carries {int(crossings[link, column])} flows of {ways[column].label} and"
            f" {int(most[link])} of another; simulate it unfolded"
        )
    odd = np.log2(most) % 1 > 0
    if odd.any():
        raise PlanError(
            f"fold: {int(most[odd][0])} flows of one orbit share a link, which is no power of two;"
            " simulate it unfolded"
        )
    return np.asarray(most, dtype=np.float64)


def check_lanes(graph: TaskGraph, timeline: Timeline) -> None:
    """Check that no lane of a folded graph had to choose between tasks that hold other lanes too.

    Tasks that hold the same lanes take turns by priority, eligibility and number, whatever those
    lanes are. The writers of a register must follow one another, as arrivals do where they land.

    Raises
    ------
    PlanError
        Naming the first task that was not chosen.
    """
    lanes = [tuple(row) for row in graph.rows("lane")]
    start, end = timeline.start_ps.tolist(), timeline.end_ps.tolist()
    on: dict[int, list[tuple[int, int]]] = {lane: [] for row in lanes for lane in row}
    for task, row in enumerate(lanes):
        for lane in row:
            on[lane].append((start[task], task))
    for starts in on.values():
        starts.sort()
    ready = _ready_ps(graph, timeline).tolist()
    for task in np.flatnonzero(timeline.start_ps > ready).tolist():
        for lane in lanes[task]:
            first = bisect_left(on[lane], (ready[task], -1))
            for at, other in on[lane][first : bisect_left(on[lane], (start[task], -1))]:
                held = (
                    on[beside][bisect_left(on[beside], (at, -1)) - 1]
                    for beside in lanes[task]
                    if beside != lane and bisect_left(on[beside], (at, -1))
                )
                if lanes[other] != lanes[task] and not any(end[last] > at for _, last in held):
                    raise PlanError(
                        f"fold: task {task} waits for a lane that task {other} takes, and among"
                        " those that one stands for it may be the other way round; simulate it"
                        " unfolded"
                    )


def _ready_ps(graph: TaskGraph, timeline: Timeline) -> Ints:
    """Return when the dependencies and slots of each task let it start."""
    ready_ps = np.zeros(graph.tasks, dtype=np.int64)
    follows = np.repeat(np.arange(graph.tasks), np.diff(graph.dep_ptr))
    np.maximum.at(ready_ps, follows, timeline.end_ps[graph.dep_idx])
    writer = graph.item_task()
    free_ps = timeline.end_ps[writer]
    np.maximum.at(free_ps, graph.in_idx, np.repeat(timeline.end_ps, np.diff(graph.in_ptr)))
    for register, slots in enumerate(graph.register_slots.tolist()):
        items = np.flatnonzero(graph.out_idx == register)
        np.maximum.at(ready_ps, writer[items[slots:]], free_ps[items[: len(items) - slots]])
    return ready_ps
