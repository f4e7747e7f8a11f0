"""Groups of messages that ranks issue together, in one order that all of them agree on.

NCCL runs what one rank issues on a communicator in the order of issue, and a message only when both
ends have issued it. Two ranks that issue the same two messages in two orders wait for each other.
So the order is not found while running: it is the simulated one, cut into waves.
"""

from dataclasses import dataclass

from planner.program import Program, TransferTask
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Wave:
    """Messages of which none waits for another: each rank issues its own of them as one group."""

    tasks: tuple[int, ...]


def waves(program: Program, timeline: Timeline) -> tuple[Wave, ...]:
    """Return the messages of a program in waves, by when they start in a simulation of it.

    A wave ends where a message starts that may have waited for one of it: no earlier than the
    first of them ends. What a message waits for, task or slot, has ended when it starts, so it is
    in an earlier wave, or waits only for such: issued wave by wave, no message is ever stuck.

    Notes
    -----
    By induction over waves: when all earlier ones have completed, everything that a message of the
    next waits for can complete, on both ends; so both issue their group, and it completes. That
    slots are static (``runtime.bind``) makes what a slot waits for the same in any legal order.
    """
    start_ps, end_ps = timeline.start_ps, timeline.end_ps
    messages = [t for t, info in enumerate(program.tasks) if isinstance(info, TransferTask)]
    messages.sort(key=lambda t: (int(start_ps[t]), int(end_ps[t]), t))
    found: list[Wave] = []
    now: list[int] = []
    first_end = 0
    for task in messages:
        if now and int(start_ps[task]) >= first_end:
            found.append(Wave(tuple(now)))
            now = []
        first_end = min(first_end, int(end_ps[task])) if now else int(end_ps[task])
        now.append(task)
    return (*found, Wave(tuple(now))) if now else tuple(found)


def groups_of(program: Program, rank: int, order: tuple[Wave, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the groups that ``rank`` issues, in order: its messages of each wave that has any."""
    own = (tuple(t for t in wave.tasks if rank in program.tasks[t].ranks) for wave in order)
    return tuple(group for group in own if group)
