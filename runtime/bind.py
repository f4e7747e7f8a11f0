"""Bind a program to one worker: kernels to arena views, transfers to persistent MPI messages."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from planner.program import ComputeTask, Program
from runtime.actors import ActorLoop, Firing
from runtime.arena import Arena, Array
from runtime.kernels import Stream, changing, kernel


@dataclass(slots=True)
class Worker:
    """One rank's loop, arena and place in the data."""

    program: Program
    rank: int
    arena: Arena
    loop: ActorLoop
    tasks: list[int]
    """Program task of each firing."""
    fires: list[Callable[[], object] | None]
    requests: list[Any]
    step: list[int]
    """The one mutable cell that kernels read: the number of the step."""
    items: list[tuple[str, int]]
    """Register and slot of each item that this rank's tasks write."""
    kept: list[str]
    """Registers that no task takes and frees: what lives from step to step."""
    microbatches: int


def bind(
    program: Program,
    rank: int,
    comm: Any,
    fetch: Callable[[int, int, Array], None],
    stream: Callable[[int, int, str], Stream],
) -> Worker:
    """Return the bound worker.

    ``fetch(step, microbatch, raw)`` fills raw records; ``stream(step, microbatch, task)`` says what
    the random numbers of a task depend on. ``comm`` is an MPI communicator whose rank is ``rank``;
    messages carry the task's id as their tag.
    """
    arena = Arena(program, rank)
    graph, tasks = program.graph, program.of_rank(rank)
    local = {task: i for i, task in enumerate(tasks)}
    mine = np.flatnonzero([rank == _rank_of(name) for name in program.register_names])
    register_of = {int(r): i for i, r in enumerate(mine)}
    readers = graph.item_readers()
    step = [0]
    fires: list[Callable[[], object] | None] = []
    requests: list[Any] = []
    firings: list[Firing] = []
    items: dict[int, int] = {}
    own_items: list[tuple[int, ...]] = []
    for task in tasks:
        first = int(graph.out_ptr[task])
        written = [(first + i, r) for i, r in enumerate(graph.row("out", task))]
        own = [item for item, register in written if register in register_of]
        for item in own:
            items[item] = len(items)
        own_items.append(tuple(items[item] for item in own))
    for task in tasks:
        info = program.tasks[task]
        fire, request = None, None
        if isinstance(info, ComputeTask):
            fire = _fire(info, arena, step, fetch, stream)
        elif info.src == rank:
            request = comm.Ssend_init(arena.view(info.source), info.dst, tag=task)
        else:
            request = comm.Recv_init(arena.view(info.target), info.src, tag=task)
        fires.append(fire)
        requests.append(request)
        firings.append(
            Firing(
                priority=int(graph.priority[task]),
                fire=fire,
                request=request,
                after=tuple(local[d] for d in graph.row("dep", task) if d in local),
                writes=tuple(register_of[r] for r in graph.row("out", task) if r in register_of),
                frees=tuple(items[i] for i in graph.row("in", task) if i in items),
            )
        )
    slot_of, names = program.item_slots(), [n.rpartition("@")[0] for n in program.register_names]
    taken = {names[int(graph.out_idx[item])] for item in items}
    loop = ActorLoop(
        firings,
        slots=[int(graph.register_slots[r]) for r in mine],
        item_register=[register_of[int(graph.out_idx[item])] for item in items],
        item_readers=[len(readers[item]) for item in items],
        own_items=own_items,
    )
    return Worker(
        program=program,
        rank=rank,
        arena=arena,
        loop=loop,
        tasks=tasks,
        fires=fires,
        requests=requests,
        step=step,
        items=[(names[int(graph.out_idx[item])], int(slot_of[item])) for item in items],
        kept=[r.name for r in program.registers[rank] if r.name not in taken],
        microbatches=sum(
            isinstance(info, ComputeTask) and info.phase == "load"
            for info in (program.tasks[task] for task in tasks)
        ),
    )


def _rank_of(register_name: str) -> int:
    return int(register_name.rpartition("@")[2])


def _fire(
    info: ComputeTask,
    arena: Arena,
    step: list[int],
    fetch: Callable[[int, int, Array], None],
    stream: Callable[[int, int, str], Stream],
) -> Callable[[], object]:
    """Return the kernel with its arrays and settings bound, and what changes with the step."""
    settings: dict[str, Any] = dict((*info.call.attrs, *info.call.settings))
    now: dict[str, Callable[..., object]] = {
        "fetch": lambda raw: fetch(step[0], info.microbatch, raw),
        "stream": lambda: stream(step[0], info.microbatch, info.name),
        "step": lambda: step[0],
    }
    settings |= {name: now[name] for name in changing(info.call.kernel)}
    arrays = [arena.view(view) for view in info.views]
    return partial(kernel(info.call.kernel), *arrays, **settings)
