"""Contests: which candidate wins on changed hardware, without searching from the beginning.

The candidates are those that the plan file was searched over. A candidate's program is lowered
once, when it is first simulated, and repriced from then on. As in ``planner.search`` a candidate
whose closed form is no smaller than the best simulated time cannot win and is not simulated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.errors import RecordError
from hwprofiles.registry import lookup
from hwprofiles.units import Ints
from planner.machine import Machine
from planner.model import ModelGraph
from planner.opsets import plan_calls
from planner.plan import Plan, Training
from planner.records import PlanFile
from planner.reprice import Lowered
from planner.search import candidates
from planner.table import price

FIXABLE = ("workers", "microbatch", "algorithm", "bucket_bytes", "overlap")
"""What ``plan --fix`` can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """Who wins a contest."""

    row: int
    step_ps: int
    proved: bool
    """Whether every other candidate was simulated or has a closed form that is no smaller."""


@dataclass(slots=True, kw_only=True)
class Contest:
    """Candidates that fit, and the programs of those that were simulated so far."""

    model: ModelGraph
    training: Training
    machine: Machine
    plans: tuple[Plan, ...]
    is_whole: bool
    """Whether these are all candidates of the search that fit; else those that the file can price:
    at least its own plans."""
    most_lowered: int
    """No more candidates are lowered than this; contests that would need more stay unproved."""
    lowered: dict[int, Lowered] = field(default_factory=dict)
    told: Callable[[], None] = lambda: None
    """Called after every simulation."""

    @classmethod
    def of(
        cls,
        model: ModelGraph,
        plans: PlanFile,
        most_lowered: int,
        training: Training | None = None,
    ) -> "Contest":
        """Return the contest of a plan file; its first rows are the plans of the file.

        With another ``training`` than that of the file, the rows are the candidates alone. Where
        ops are measured, candidates with ops that the file has no copy of are left out: a curve
        against a measurement decides nothing.
        """
        machine, asked = plans.to_machine(), training or plans.training
        fixed = fixed_fields(plans)
        own = tuple(dict.fromkeys(ranked.plan for ranked in plans.plans)) if not training else ()
        fits: list[Plan] = []
        if fixed is not None:
            every = candidates(model, asked, machine.devices, fixed)
            found = [plan for plan in every if _is_known(plan.workers, machine)]
            table = price(model, asked, found, machine)
            fits = [found[i] for i in table.feasible.tolist()]
        known = [plan for plan in fits if plan in own or _is_priced(model, asked, plan, machine)]
        return cls(
            model=model,
            training=asked,
            machine=machine,
            plans=own + tuple(plan for plan in known if plan not in own),
            is_whole=fixed is not None and len(found) == len(every) and len(known) == len(fits),
            most_lowered=most_lowered,
        )

    def program(self, row: int) -> Lowered:
        """Return the program of a candidate, lowered when it is first asked for."""
        if row not in self.lowered:
            self.lowered[row] = Lowered.of(self.model, self.training, self.plans[row], self.machine)
        return self.lowered[row]

    def step_ps(self, row: int, machine: Machine) -> int:
        """Return the simulated time of a candidate on ``machine``."""
        found = self.program(row).step_ps(machine)
        self.told()
        return found

    def closed_ps(self, machine: Machine, rows: Sequence[int]) -> Ints:
        """Return the closed forms of ``rows`` on ``machine``, in their order."""
        chosen = [self.plans[row] for row in rows]
        return price(self.model, self.training, chosen, machine).closed_form_ps

    def floor_ps(self, machine: Machine) -> Ints:
        """Return the closed form of every candidate on ``machine``."""
        return self.closed_ps(machine, range(len(self.plans)))

    def leaders(self, now_ps: Ints) -> tuple[int, ...]:
        """Return the fastest candidates on the hardware as it is: those of equal time.

        ``now_ps`` are their closed forms. Where a plan of the file is one of them, it comes first.
        """
        best = self.winner(self.machine, [0], now_ps, is_exact=True)
        rows = np.flatnonzero(now_ps <= best.step_ps).tolist()
        known = [row for row in rows if row in self.lowered or now_ps[row] == best.step_ps]
        return tuple(r for r in known if self.step_ps(r, self.machine) == best.step_ps)

    def winner(
        self, machine: Machine, holders: Sequence[int], floor_ps: Ints, *, is_exact: bool = False
    ) -> Winner:
        """Return the fastest candidate on ``machine``; of equal ones one of ``holders``.

        ``floor_ps`` are closed forms on hardware that is nowhere slower than ``machine``: more
        bandwidth never raises a closed form, so who was too slow there is too slow here. With
        ``is_exact`` they are those of ``machine`` itself.
        """
        held_ps, first = min((self.step_ps(row, machine), row) for row in holders)
        best = Winner(row=first, step_ps=held_ps, proved=self.is_whole)
        rows = [r for r in np.flatnonzero(floor_ps < best.step_ps).tolist() if r not in holders]
        closed_ps = floor_ps[rows] if is_exact else self.closed_ps(machine, rows)
        for i in np.argsort(closed_ps, kind="stable").tolist():
            if closed_ps[i] >= best.step_ps:
                break
            if rows[i] not in self.lowered and len(self.lowered) >= self.most_lowered:
                return Winner(row=best.row, step_ps=best.step_ps, proved=False)
            step_ps = self.step_ps(rows[i], machine)
            if step_ps < best.step_ps:
                best = Winner(row=rows[i], step_ps=step_ps, proved=best.proved)
        return best


def fixed_fields(plans: PlanFile) -> dict[str, object] | None:
    """Return what the search of the file was held to, None where the file does not say.

    Raises
    ------
    RecordError
        When the file names a field that cannot be fixed.
    """
    if plans.fixed is None:
        return None
    for name in plans.fixed:
        lookup("plan file: fixed", name, list(FIXABLE), error=RecordError)
    return dict(plans.fixed)


def _is_known(workers: int, machine: Machine) -> bool:
    """Whether the plan file holds op costs for so many workers."""
    return 0 in machine.clusters or workers in machine.clusters


def _is_priced(model: ModelGraph, training: Training, plan: Plan, machine: Machine) -> bool:
    """Whether every op of a plan is measured, or none of this machine is."""
    books = machine.books(plan.workers).values()
    measured = {signature for book in books for signature in book.ops}
    return not measured or plan_calls(model, training, plan).keys() <= measured
