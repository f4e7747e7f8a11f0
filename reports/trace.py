"""One step as a trace for Perfetto or chrome://tracing: nested slices, memory and links over time.

The format is the JSON of "Trace Event Format" (Google, 2016). Every rank of every side is a
process, every lane a thread; its slices nest: step, phase, layer, op. Counters follow the memory of
a rank by category and the rate at which bytes move over a link. Times are microseconds.
"""

import gzip
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import PlanError, RecordError
from hwprofiles.units import PS_PER_S, Ints
from planner.program import Program, Task, TransferTask
from planner.records import write_bytes
from reports.case import Case
from reports.linkuse import flows, node_name
from reports.livememory import LiveMemory, live_memories
from reports.replay import Replay
from reports.trace_lanes import Lane, lanes_of
from sim.timeline import Timeline

PS_PER_US = 10**6
RANKS_APART = 100_000
"""Processes of a side: 1 + rank and, last of all, the links; those of the next side begin here."""
SUFFIXES = (".weight_grad", ".input_grad", ".sum", ".accumulate")
BUCKET = re.compile(r"\.(\d+)(?:\[|$)")
"""In the names of the tasks of an exchange and an update."""
Event = dict[str, Any]
Told = Callable[[int, int], None]


def write_trace(
    case: Case,
    output: Path,
    ranks: Collection[int] = (),
    told: Told = lambda done, total: None,
) -> Path:
    """Write the subject's step, simulated and, where it was traced, measured.

    Parameters
    ----------
    case : Case
        A plan file, perhaps with a measurement.
    output : Path
        ``.json``, or ``.json.gz`` for a compressed file, which Perfetto reads as well.
    ranks : collection of int
        Those that are written; without any, all of them. Links have the flows of all ranks.
    told : function
        Called with how many ranks of all sides are written, and how many there are.

    Raises
    ------
    RecordError
        When the step cannot be simulated again from the file.
    PlanError
        When a rank is none of the plan's.
    """
    replay = case.replay
    if replay is None:
        raise RecordError(
            f"plan {case.subject.label!r}: its step cannot be simulated again, since its model"
            f" {case.plans.model!r} is not known here or another version of the tool predicted it;"
            " plan again"
        )
    for rank in ranks:
        if not 0 <= rank < replay.program.ranks:
            raise PlanError(
                f"--rank {rank}: the plan has ranks 0 to {replay.program.ranks - 1}; name one of"
                " them"
            )
    text = json.dumps(
        {
            "displayTimeUnit": "ms",
            "otherData": {
                "tool": case.plans.tool,
                "model": case.plans.model,
                "cluster": case.plans.cluster,
                "plan": case.subject.label,
            },
            "traceEvents": list(events(replay, case.subject.prediction.arena_bytes, ranks, told)),
        },
        allow_nan=False,
        separators=(",", ":"),
    ).encode()
    write_bytes(output, gzip.compress(text, mtime=0) if output.suffix == ".gz" else text)
    return output


def events(
    replay: Replay,
    arena_bytes: Sequence[int],
    ranks: Collection[int] = (),
    told: Told = lambda done, total: None,
) -> Iterator[Event]:
    """Yield the events of every side; of some ranks only where ``ranks`` names any.

    ``arena_bytes`` is by rank.
    """
    chosen = sorted(set(ranks)) or list(range(replay.program.ranks))
    for place, (side, timeline) in enumerate(replay.sides.items()):
        first = 1 + place * RANKS_APART
        lanes = lanes_of(replay.program, timeline)
        memories = live_memories(replay.program, timeline, chosen)
        for number, (rank, live) in enumerate(zip(chosen, memories, strict=True)):
            told(place * len(chosen) + number, len(replay.sides) * len(chosen))
            yield _named("process", first + rank, f"{side}: rank {rank}")
            yield _meta("process_sort_index", first + rank, sort_index=first + rank)
            for lane in (lane for lane in lanes if lane.rank == rank):
                yield _named("thread", first + rank, lane.name, lane.track)
                yield from _slices(replay.program, timeline, lane, first + rank)
            yield from _memory(live, arena_bytes[rank], first + rank)
        yield from _links(replay, timeline, side, first + replay.program.ranks)


def _slices(program: Program, timeline: Timeline, lane: Lane, pid: int) -> Iterator[Event]:
    """Yield the slices of a lane, each within the one that it is a part of."""
    if not lane.is_nested:
        yield from _messages(program, timeline, lane, pid)
        return
    at = {"pid": pid, "tid": lane.track}
    yield _begin(at, "step", 0)
    deeds = [(task, program.tasks[task]) for task in lane.tasks]  # each is made when asked for
    for phase, some in groupby(deeds, key=lambda deed: _phase(deed[1])):
        in_phase = list(some)
        yield _begin(at, phase, timeline.start_ps[in_phase[0][0]])
        for layer, own in groupby(in_phase, key=lambda deed: _layer(deed[1])):
            in_layer = list(own)
            yield _begin(at, layer, timeline.start_ps[in_layer[0][0]])
            for task, info in in_layer:
                name, facts = _facts(program, task, info)
                yield _begin(at, name, timeline.start_ps[task]) | {"cat": "op", "args": facts}
                yield _end(at, timeline.end_ps[task])
            yield _end(at, timeline.end_ps[in_layer[-1][0]])
        yield _end(at, timeline.end_ps[in_phase[-1][0]])
    yield _end(at, timeline.makespan_ps)


def _messages(program: Program, timeline: Timeline, lane: Lane, pid: int) -> Iterator[Event]:
    """Yield slices that may overlap; a viewer puts them on rows of one track."""
    for task in lane.tasks:
        name, facts = _facts(program, task, program.tasks[task])
        both = {"pid": pid, "tid": lane.track, "cat": "op", "id": f"{pid}.{task}", "name": name}
        yield both | {"ph": "b", "ts": _us(timeline.start_ps[task]), "args": facts}
        yield both | {"ph": "e", "ts": _us(timeline.end_ps[task])}


def _begin(at: Event, name: str, ps: int) -> Event:
    return {"ph": "B", **at, "name": name, "ts": _us(ps)}


def _end(at: Event, ps: int) -> Event:
    return {"ph": "E", **at, "ts": _us(ps)}


def _us(ps: int) -> float:
    """Return an instant in microseconds, to the picosecond."""
    return int(ps) / PS_PER_US


def _phase(info: Task) -> str:
    turn = 0 if isinstance(info, TransferTask) else info.microbatch
    return f"{info.phase}, microbatch {turn}" if turn else info.phase


def _layer(info: Task) -> str:
    """Return what a task works on: a layer of the model, or a bucket of gradients."""
    if info.phase in ("exchange", "update"):
        bucket = BUCKET.search(info.name)
        return f"bucket {bucket[1]}" if bucket else info.phase
    name = info.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _facts(program: Program, task: int, info: Task) -> tuple[str, dict[str, Any]]:
    """Return the name of an op and what a viewer shows of it."""
    if isinstance(info, TransferTask):
        name = f"{info.name} {info.way.replace('->', ' to ')}"
        return name, {"task": task, "bytes": int(program.graph.payload_bytes[task])}
    call = info.call
    facts = {"task": task, "op": call.signature, "flop": call.flop, "bytes": call.moved_bytes}
    return info.name, facts


def _memory(live: LiveMemory, arena_bytes: int, pid: int) -> Iterator[Event]:
    """Yield the live bytes of a rank by category, whenever they change, and its arena."""
    for name, held in live.by_category.items():
        yield from _counter(pid, f"memory: {name}", "bytes", live.at_ps, held)
    yield from _counter(pid, "memory: arena", "bytes", live.at_ps[:1], np.array([arena_bytes]))


def _links(replay: Replay, timeline: Timeline, side: str, pid: int) -> Iterator[Event]:
    """Yield the rate of every link that is used; a flow counts with its mean rate."""
    moved = flows(replay.program.graph, timeline)
    if not len(moved.link):
        return
    yield _named("process", pid, f"{side}: links")
    yield _meta("process_sort_index", pid, sort_index=pid)
    links = replay.cluster.links
    names = {
        link_id: f"{node_name(start)} to {node_name(end)} ({links[link_id].name})"
        for (start, end), link_id in replay.cluster.edges.items()
    }
    length_ps = np.maximum(moved.end_ps - moved.begin_ps, 1)
    rate = moved.payload_bytes / length_ps * PS_PER_S
    for link in np.unique(moved.link).tolist():
        own = moved.link == link
        ends = np.concatenate([moved.begin_ps[own], moved.begin_ps[own] + length_ps[own]])
        at_ps, place = np.unique(ends, return_inverse=True)
        change, flowing = np.zeros(len(at_ps)), np.zeros(len(at_ps), dtype=np.int64)
        np.add.at(change, place, np.concatenate([rate[own], -rate[own]]))
        np.add.at(flowing, place, np.repeat([1, -1], own.sum()))
        # What rounding leaves of the sum is not a rate
        held = np.where(np.cumsum(flowing) > 0, np.maximum(np.cumsum(change), 0.0), 0.0)
        yield from _counter(pid, names[link], "bytes per s", at_ps, held)


def _counter(
    pid: int, name: str, unit: str, at_ps: Ints, held: npt.NDArray[Any]
) -> Iterator[Event]:
    """Yield a value at the first instant and at every one at which it is another."""
    turns = np.flatnonzero(np.diff(held, prepend=held[0] - 1))
    for at, value in zip(at_ps[turns].tolist(), held[turns].tolist(), strict=True):
        yield {"ph": "C", "pid": pid, "name": name, "ts": _us(at), "args": {unit: value}}


def _named(kind: str, pid: int, name: str, tid: int = 0) -> Event:
    return _meta(f"{kind}_name", pid, tid, name=name)


def _meta(what: str, pid: int, tid: int = 0, **facts: Any) -> Event:
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": facts}
