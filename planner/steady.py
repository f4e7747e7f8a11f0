"""The steady state of a run: how long a step takes when many have gone before and many follow."""

from dataclasses import dataclass
from math import gcd

from planner.plan import Plan, Training
from planner.program import Program
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which steps of a lowered run count: those in the middle of three equal parts."""

    steps: int
    """Of each part; 0 for a plan of which one step says all."""

    @property
    def lowered(self) -> int:
        """Steps to lower."""
        return 3 * self.steps or 1


ONE_STEP = Window(steps=0)


def window_of(plan: Plan, training: Training) -> Window:
    """Return the window of ``plan``.

    A step is the same whatever precedes it, unless a pipeline runs ahead of it. Then the registers
    fill in the first part, the last part keeps the pipeline from running dry, and a part is a whole
    number of rounds of the decode workers, which are dealt microbatches in turn.
    """
    workers, rounds = plan.decode_workers, plan.microbatches(training.batch)
    if not workers:
        return ONE_STEP
    cycle = workers // gcd(workers, rounds)
    held = 2 * workers * plan.prefetch + plan.input_slots
    fill = -(-held // rounds) + 1
    return Window(steps=cycle * -(-fill // cycle))


def span_ps(program: Program, timeline: Timeline, window: Window) -> tuple[int, int]:
    """Return the instants at which the steps that count begin and end."""
    if not window.steps:
        return 0, timeline.makespan_ps
    ends = (program.ends[window.steps - 1], program.ends[2 * window.steps - 1])
    first, last = (int(timeline.end_ps[:end].max()) for end in ends)
    return first, last


def period_ps(program: Program, timeline: Timeline, window: Window) -> int:
    """Return the mean length of the steps that count, rounded up."""
    first, last = span_ps(program, timeline, window)
    return -(-(last - first) // max(1, window.steps))
