"""The steady state of a run: how long a step takes when many have gone before and many follow."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from planner.plan import Plan, Training
from planner.program import Program
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which steps of a lowered run may count: those in the middle of three equal parts."""

    steps: int
    """Of each part; 0 for a plan of which one step says all."""

    @property
    def lowered(self) -> int:
        """Steps to lower."""
        return 3 * self.steps or 1


ONE_STEP = Window(steps=0)

TIMES_LONGER = (1, 2, 4)
"""Windows that are tried one after the other until the steps recur."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The steps that count, on the clock of a run."""

    first_ps: int
    last_ps: int
    steps: int
    recurs: bool
    """That the steps before them took the same times, in the same turn."""

    @property
    def period_ps(self) -> int:
        """Mean length of a step, rounded up."""
        return -(-(self.last_ps - self.first_ps) // self.steps)


def span_of(program: Program, timeline: Timeline, window: Window) -> Span:
    """Return the steps of ``window`` that count: as many as make whole turns of what recurs.

    Decode workers without a core of their own, or dealt a number of microbatches that they do not
    divide, make long and short steps in turn; half a turn more or less would count as speed. What
    recurs is the shortest row of step lengths that repeats, to the picosecond, over the second half
    of the steps up to the end of the window; where none does, all steps of the window count.
    """
    if not window.steps:
        return Span(first_ps=0, last_ps=timeline.makespan_ps, steps=1, recurs=True)
    until = 2 * window.steps
    ends = [0, *(int(timeline.end_ps[:end].max()) for end in program.ends[:until])]
    lengths = np.diff(ends)
    half = window.steps
    turn = next((n for n in range(1, half + 1) if _recurs(lengths[-max(2 * n, half) :], n)), 0)
    counted = window.steps // turn * turn if turn else window.steps
    return Span(
        first_ps=ends[until - counted], last_ps=ends[until], steps=counted, recurs=bool(turn)
    )


def _recurs(lengths: np.ndarray, turn: int) -> bool:
    return np.array_equal(lengths[turn:], lengths[:-turn])


def settled(
    run: Callable[[int], tuple[Program, Timeline]], window: Window
) -> tuple[Program, Timeline, Span]:
    """Return a run of the steps of ``window``, or of a longer one where they do not recur yet.

    ``run`` lowers and times a number of steps. Where decoding takes the core of compute, what the
    pipeline won at the start may take some twenty steps to be used up.
    """
    for times in TIMES_LONGER:
        longer = replace(window, steps=times * window.steps)
        program, timeline = run(longer.lowered)
        span = span_of(program, timeline, longer)
        if span.recurs:
            break
    return program, timeline, span
