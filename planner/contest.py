"""Contests: which candidate wins on changed hardware, without searching from the beginning.

The candidates are those that the plan file was searched over. A candidate's program is lowered
once, when it is first simulated, and repriced from then on. As in ``planner.search`` a candidate
whose closed form is no smaller than the best simulated time cannot win and is not simulated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

import numpy as np

from hwprofiles.errors import PlanError, RecordError
from hwprofiles.registry import lookup
from hwprofiles.units import Ints
from planner.cost import estimate
from planner.machine import Machine
from planner.model import ModelGraph
from planner.opsets import plan_calls
from planner.plan import Plan, Training
from planner.ranking import worth
from planner.records import PlanFile
from planner.reprice import Lowered
from planner.search import machine_space
from planner.shared_prices import Shared
from planner.space import SLOTS, Constraints, Space
from planner.table import price

FIXABLE = ("workers", "microbatch", "algorithm", "bucket_bytes", "overlap", *SLOTS)
"""What ``plan --fix`` can hold."""
MOST = (*FIXABLE, "memory_bytes", "step_s")
"""What ``plan --max`` can hold."""
BY_TIME = ("time", "throughput")
"""Objectives by which the fastest plan is the best."""


@dataclass(frozen=True, kw_only=True)
class Candidates(Sequence[Plan]):
    """Plans that are named, then rows of a space, each a plan only when it is asked for."""

    named: tuple[Plan, ...]
    space: Space
    rows: Ints
    """Numbers in the space."""

    def __len__(self) -> int:
        return len(self.named) + len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Plan: ...
    @overload
    def __getitem__(self, place: slice) -> list[Plan]: ...
    def __getitem__(self, place: int | slice) -> Plan | list[Plan]:
        """Return one plan, or several."""
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if place < len(self.named):
            return self.named[place]
        return self.space.plan(int(self.rows[place - len(self.named)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """Who wins a contest."""

    row: int
    step_ps: int
    proved: bool
    """Whether every other candidate of the contest was simulated or has a closed form that is no
    smaller."""


@dataclass(slots=True, kw_only=True)
class Contest:
    """Candidates that fit, and the programs of those that were simulated so far."""

    model: ModelGraph
    training: Training
    machine: Machine
    plans: Candidates
    is_whole: bool
    """Whether these are all candidates of the search that fit; else those that the file can price:
    at least its own plans."""
    most_tasks: int
    """No more candidates are lowered once the programs have so many tasks; contests that would
    need more stay unproved."""
    lowered: dict[int, Lowered] = field(default_factory=dict)
    tasks: int = 0
    """Of the programs so far."""
    shared: Shared
    """What is known of the candidates on any hardware."""
    timed: dict[int, tuple[Machine, dict[int, int]]] = field(default_factory=dict, repr=False)
    """By identity of a machine, which is kept: simulated times by row."""
    told: Callable[[], None] = lambda: None
    """Called after every simulation."""

    @classmethod
    def of(
        cls,
        model: ModelGraph,
        plans: PlanFile,
        most_tasks: int,
        training: Training | None = None,
    ) -> "Contest":
        """Return the contest of a plan file; its first rows are the plans of the file.

        With another ``training`` than that of the file, the rows are the candidates alone. Where
        ops are measured, candidates with ops that the file has no copy of are left out: a curve
        against a measurement decides nothing.
        """
        machine, asked = plans.to_machine(), training or plans.training
        held = held_to(plans)
        own = tuple(dict.fromkeys(ranked.plan for ranked in plans.plans)) if not training else ()
        space, fits, left_out = Space(stripes=()), np.zeros(0, dtype=np.int64), False
        shared = Shared(model=model, training=asked, machine=machine)
        if held is not None:
            most = {name: value for name, value in held.most.items() if name != "step_s"}
            space, left_out = _space(model, asked, machine, replace(held, most=most))
            table = price(model, asked, space, machine, Constraints(most=most), shared=shared)
            rows = [
                worth(block).rows
                for section in table.open_sections()
                for block in table.blocks_of(section, exact=False)
            ]
            fits = np.concatenate([fits, *rows])
        known = _priced_rows(model, asked, machine, space, fits)
        own_rows = [row for plan in own if (row := space.row(plan)) is not None]
        return cls(
            model=model,
            training=asked,
            machine=machine,
            plans=Candidates(named=own, space=space, rows=known[~np.isin(known, own_rows)]),
            is_whole=held is not None
            and not left_out
            and bool(np.isin(fits, [*known, *own_rows]).all()),
            most_tasks=most_tasks,
            shared=shared,
        )

    def program(self, row: int) -> Lowered:
        """Return the program of a candidate, lowered when it is first asked for."""
        if row not in self.lowered:
            found = Lowered.of(self.model, self.training, self.plans[row], self.machine)
            self.lowered[row] = found
            self.tasks += found.program.graph.tasks
        return self.lowered[row]

    def step_ps(self, row: int, machine: Machine) -> int:
        """Return the simulated time of a candidate on ``machine``."""
        _, known = self.timed.setdefault(id(machine), (machine, {}))
        if row not in known:
            known[row] = self.program(row).step_ps(machine)
            self.told()
        return known[row]

    def closed_ps(self, machine: Machine, rows: Sequence[int], limit_ps: int | None = None) -> Ints:
        """Return the closed forms of ``rows`` on ``machine``, in their order.

        Those of which the passes alone take ``limit_ps`` may be less than they are, but not than
        that.
        """
        at, own = np.array(rows, dtype=np.int64), len(self.plans.named)
        found = np.zeros(len(at), dtype=np.int64)
        for i in np.flatnonzero(at < own).tolist():
            found[i] = self._own_closed_ps(machine, self.plans.named[rows[i]])
        others = at >= own
        if others.any():
            space, places = self.plans.space.around(self.plans.rows[at[others] - own])
            table = price(self.model, self.training, space, machine, shared=self.shared)
            bounds = [
                block.bound_ps
                for section in table.open_sections()
                for block in table.blocks_of(
                    section, exact=limit_ps is None or section.passes.table.min() < limit_ps
                )
            ]
            found[others] = np.concatenate(bounds)[places]
        return found

    def _own_closed_ps(self, machine: Machine, plan: Plan) -> int:
        cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
        return estimate(self.model, self.training, plan, cluster, books).closed_form_ps

    def floor_ps(self, machine: Machine, limit_ps: int | None = None) -> Ints:
        """Return the closed form of every candidate on ``machine``, exact as in ``closed_ps``."""
        return self.closed_ps(machine, range(len(self.plans)), limit_ps)

    def leaders(self, now_ps: Ints) -> tuple[int, ...]:
        """Return the fastest candidates on the hardware as it is: those of equal time.

        ``now_ps`` are their closed forms. Where a plan of the file is one of them, it comes first.
        """
        best = self.winner(
            self.machine, [0], now_ps, is_exact=True, most_tasks=self.most_tasks // 2
        )
        rows = np.flatnonzero(now_ps <= best.step_ps).tolist()
        known = [row for row in rows if row in self.lowered or now_ps[row] == best.step_ps]
        return tuple(r for r in known if self.step_ps(r, self.machine) == best.step_ps)

    def winner(
        self,
        machine: Machine,
        holders: Sequence[int],
        floor_ps: Ints,
        *,
        is_exact: bool = False,
        most_tasks: int | None = None,
    ) -> Winner:
        """Return the fastest candidate on ``machine``; of equal ones one of ``holders``.

        ``floor_ps`` are closed forms on hardware that is nowhere slower than ``machine``: more
        bandwidth never raises a closed form, so who was too slow there is too slow here. With
        ``is_exact`` they are those of ``machine`` itself. However many programs there are, the
        candidate with the least closed form is simulated.
        """
        most_tasks = self.most_tasks if most_tasks is None else most_tasks
        held_ps, first = min((self.step_ps(row, machine), row) for row in holders)
        best = Winner(row=first, step_ps=held_ps, proved=True)
        rows = [r for r in np.flatnonzero(floor_ps < best.step_ps).tolist() if r not in holders]
        closed_ps = floor_ps[rows] if is_exact else self.closed_ps(machine, rows, held_ps)
        tried, proved = False, True
        for i in np.argsort(closed_ps, kind="stable").tolist():
            if closed_ps[i] >= best.step_ps:
                break
            if rows[i] not in self.lowered and self.tasks >= most_tasks and tried:
                proved = False  # those that are lowered still take part
                continue
            tried = True
            step_ps = self.step_ps(rows[i], machine)
            # of equal ones the first, as in a search, unless it would take the place of a holder
            if (step_ps, rows[i] if best.row != first else first) < (best.step_ps, best.row):
                best = Winner(row=rows[i], step_ps=step_ps, proved=proved)
        return replace(best, proved=proved)


def held_to(plans: PlanFile) -> Constraints | None:
    """Return what the search of the file was held to, None where the file does not say.

    Raises
    ------
    RecordError
        When the file names a field that cannot be fixed or limited.
    """
    if plans.fixed is None:
        return None
    for name in plans.fixed:
        lookup("plan file: fixed", name, list(FIXABLE), error=RecordError)
    for name in plans.most:
        lookup("plan file: most", name, list(MOST), error=RecordError)
    return Constraints(fixed=plans.fixed, most=plans.most)


def refuse_other_objectives(plans: PlanFile) -> None:
    """Refuse a file of which the best plan is not the fastest.

    Raises
    ------
    PlanError
        Naming the objective.
    """
    if plans.certificate.objective not in BY_TIME:
        raise PlanError(
            f"plan file: expected plans searched for {' or '.join(BY_TIME)}, got objective"
            f" {plans.certificate.objective!r}; plan again with --objective time"
        )


def _space(
    model: ModelGraph, training: Training, machine: Machine, held: Constraints
) -> tuple[Space, bool]:
    """Return the space of the numbers of workers whose op costs the file holds.

    Beside it stands whether there are others.
    """
    asked = [w for w in range(1, machine.devices + 1) if held.allow("workers", w)]
    known = [w for w in asked if 0 in machine.clusters or w in machine.clusters]
    if known == asked:
        return machine_space(model, training, machine, held), False
    spaces = [
        machine_space(model, training, machine, replace(held, fixed={**held.fixed, "workers": w}))
        for w in known
    ]
    return Space(stripes=tuple(stripe for one in spaces for stripe in one.stripes)), True


def _priced_rows(
    model: ModelGraph, training: Training, machine: Machine, space: Space, rows: Ints
) -> Ints:
    """Return the rows all of whose ops are measured; all rows where none of this machine is."""
    known: dict[tuple[int, int, str, int], bool] = {}

    def is_priced(plan: Plan) -> bool:
        books = machine.books(plan.workers).values()
        measured = {signature for book in books for signature in book.ops}
        return not measured or plan_calls(model, training, plan).keys() <= measured

    def is_known(row: int) -> bool:
        plan = space.plan(row)
        key = (plan.workers, plan.microbatch, plan.algorithm, plan.bucket_bytes)
        if key not in known:
            known[key] = is_priced(plan)
        return known[key]

    if not any(book.ops for books in machine.cost_books.values() for book in books.values()):
        return rows
    found: Ints = rows[np.array([is_known(row) for row in rows.tolist()], dtype=bool)]
    return found
