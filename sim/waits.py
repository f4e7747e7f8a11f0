"""What an unfinished task waits for, in words: the sentence of a deadlock."""

from collections import Counter
from collections.abc import Callable, Sequence

from hwprofiles.errors import DeadlockError
from sim.taskgraph import TaskGraph

Label = Callable[[int], str]
"""Name of a task or of a register, by its id."""

MAX_NAMED = 5
"""Most tasks that one message names."""


def task_label(task: int) -> str:
    """Return the name of a task that has no other."""
    return f"task {task}"


def register_label(register: int) -> str:
    """Return the name of a register that has no other."""
    return f"register {register}"


def join_some(sentences: Sequence[str]) -> str:
    """Return the first five sentences as one, and how many more there are."""
    more = len(sentences) - MAX_NAMED
    return "; ".join(sentences[:MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")


def held_items(graph: TaskGraph, started: Sequence[bool], ended: Sequence[bool]) -> list[int]:
    """Return the items that hold a slot now: written, and not yet read to the end."""
    writer = graph.item_task()
    return [
        item
        for item, readers in enumerate(graph.item_readers())
        if started[writer[item]] and not (ended[writer[item]] and all(ended[r] for r in readers))
    ]


def free_slots(graph: TaskGraph, held: Sequence[int]) -> list[int]:
    """Return the free slots of each register while the items ``held`` hold theirs."""
    taken = Counter(int(graph.out_idx[item]) for item in held)
    return [int(slots) - taken[r] for r, slots in enumerate(graph.register_slots)]


def short_register(graph: TaskGraph, task: int, free: Sequence[int]) -> int | None:
    """Return the first register with too few free slots for ``task``, if there is one."""
    needs = Counter(graph.row("out", task))
    return next((r for r, count in sorted(needs.items()) if free[r] < count), None)


def deadlock(
    graph: TaskGraph,
    started: Sequence[bool],
    ended: Sequence[bool],
    label: Label = task_label,
    name_register: Label = register_label,
) -> DeadlockError:
    """Return the error that names up to five waiting tasks and what each waits for.

    Tasks that wait for a slot come first: they are the cause, the others follow from them.
    """
    free = free_slots(graph, held_items(graph, started, ended))
    for_slot: list[str] = []
    for_task: list[str] = []
    waiting = [task for task in range(graph.tasks) if not started[task]]
    for task in waiting:
        missing = [d for d in graph.row("dep", task) if not ended[d]]
        if missing and len(for_task) < MAX_NAMED:
            names = " and ".join(label(d) for d in missing[:2])
            more = f" and {len(missing) - 2} more" if len(missing) > 2 else ""
            for_task.append(f"{label(task)} waits for {names}{more}")
        short = None if missing else short_register(graph, task, free)
        if short is not None and len(for_slot) < MAX_NAMED:
            slots = f"{free[short]} of {graph.register_slots[short]} free"
            for_slot.append(
                f"{label(task)} waits for a slot of {name_register(short)} ({slots},"
                f" needs {graph.row('out', task).count(short)})"
            )
    named = [*for_slot, *for_task][:MAX_NAMED]
    more = f"; and {len(waiting) - len(named)} more" if len(waiting) > len(named) else ""
    return DeadlockError(
        f"{len(waiting)} of {graph.tasks} tasks can never start: {'; '.join(named)}{more};"
        " give the registers more slots or break the cycle of dependencies"
    )
