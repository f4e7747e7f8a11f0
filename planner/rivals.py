"""Why not another choice: the best candidate that differs in what a person would ask about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import PS_PER_S, Ints
from planner.contest import Contest
from planner.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The best candidate with one other choice."""

    choice: str
    """``algorithm ring``, ``more workers`` or ``fewer workers``."""
    label: str
    step_s: float
    """Simulated; its closed form where it was not."""
    simulated: bool
    least_s: float
    """No candidate with this choice takes less."""


def rivals(contest: Contest, held: int, now_ps: Ints) -> tuple[Rival, ...]:
    """Return the best candidate of every other choice than that of row ``held``, the fastest first.

    ``now_ps`` are closed forms of all rows. Of every choice the candidate with the least one is
    simulated, and all that were before; no more are lowered than the contest allows.
    """
    groups: dict[str, list[int]] = {}
    own = contest.plans[held]
    for row in range(len(contest.plans)):
        for choice in _choices(own, contest.plans[row]):
            groups.setdefault(choice, []).append(row)
    found = [_best(contest, choice, rows, now_ps) for choice, rows in groups.items()]
    return tuple(sorted(found, key=lambda rival: (rival.step_s, rival.choice)))


def _choices(own: Plan, other: Plan) -> list[str]:
    """Return the choices of ``other`` that are asked about; a lone worker exchanges nothing."""
    name, held = (plan.algorithm.partition(":")[0] for plan in (other, own))
    found = [f"algorithm {name}"] if other.workers > 1 and name != held else []
    if other.workers != own.workers:
        found.append("more workers" if other.workers > own.workers else "fewer workers")
    return found


def _best(contest: Contest, choice: str, rows: Sequence[int], now_ps: Ints) -> Rival:
    order = [rows[i] for i in np.argsort(now_ps[list(rows)], kind="stable").tolist()]
    allowed = 1 if contest.tasks < contest.most_tasks else 0
    tried = [row for i, row in enumerate(order) if i < allowed or row in contest.lowered]
    steps_ps = {row: contest.step_ps(row, contest.machine) for row in tried}
    best = min(steps_ps, key=steps_ps.__getitem__, default=None)
    left_ps = min((int(now_ps[row]) for row in order if row not in tried), default=None)
    row = order[0] if best is None else best
    time_ps = int(now_ps[row]) if best is None else steps_ps[best]
    return Rival(
        choice=choice,
        label=contest.plans[row].label,
        step_s=time_ps / PS_PER_S,
        simulated=best is not None,
        least_s=min(time_ps, time_ps if left_ps is None else left_ps) / PS_PER_S,
    )
