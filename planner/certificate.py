"""What a search found, and the certificate that says why nothing else can be better."""

from bisect import bisect
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.units import Ints, format_frac
from planner.objective import Key, Objective
from planner.plan import Plan
from planner.predict import Prediction, Simulation
from planner.ranking import left_over
from planner.table import DOMINANCE, PlanTable, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the search looked at, and why nothing else can be better."""

    candidates: int
    by_verdict: dict[str, int]
    """Rows by verdict; ``fits`` ones were priced."""
    simulated: int
    pruned_by_bound: int
    """Rows whose bound already is no better than the last plan kept."""
    pruned_by_dominance: int
    """Rows dropped by the rule named in ``dominance``."""
    not_reached: int
    """Rows neither simulated nor pruned because the search was stopped."""
    runner_up: str
    runner_up_frac: float
    """How much slower the runner-up is, as a fraction of the best."""
    engine: str
    stopped_by: str
    """``proof``, ``budget``, ``tasks`` (no budget was given and the programs are large) or
    ``interrupt``."""
    statement: str
    dominance: str = DOMINANCE
    """The rule: the row's program is that of another row."""
    objective: str = "time"
    gap_frac: float = 0.0
    """How much better a candidate that was not simulated may be, as a fraction of the best."""
    examples: dict[str, str] = field(default_factory=dict)
    """One plan of each verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plan and its prediction."""

    plan: Plan
    prediction: Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The best plans, best first, and the certificate."""

    best: tuple[Candidate, ...]
    certificate: Certificate
    table: PlanTable


HELD_TASKS = 1_500_000
"""Simulations that are held until it is known which are told of; those of more tasks in sum take
some hundreds of MB, so what they tell is worked out at once."""


@dataclass(slots=True, kw_only=True)
class Kept:
    """A plan that was simulated, and what that tells as soon as somebody asks."""

    plan: Plan
    arena_bytes: int
    """Of the fullest worker."""
    simulated: Simulation | None
    prediction: Prediction | None = None

    @property
    def tasks(self) -> int:
        """Of the simulation that is held."""
        return self.simulated.program.graph.tasks if self.simulated else 0

    def candidate(self) -> Candidate:
        """Return the plan with its prediction; the simulation is held no more."""
        if self.prediction is None:
            assert self.simulated, "a simulation is held until its prediction is there"
            self.prediction, self.simulated = self.simulated.prediction(), None
        return Candidate(plan=self.plan, prediction=self.prediction)


@dataclass(slots=True, kw_only=True)
class Found:
    """What has been simulated so far; of that the best, best first."""

    objective: Objective
    keep: int
    limit_ps: float
    simulated: int = 0
    rows: list[int] = field(default_factory=list)
    kept: list[tuple[Key, int, Kept]] = field(default_factory=list)
    """(objective and time, row, plan)"""
    tasks: int = 0
    engines: set[str] = field(default_factory=set)

    def add(self, row: int, simulated: Simulation, engine: str) -> None:
        """Note a simulated row; one that is slower than allowed, or than those kept, is not."""
        plan, step_ps = simulated.plan, simulated.timeline.makespan_ps
        arena_bytes = max(simulated.arena_bytes)
        key = (self.objective.of_plan(plan, step_ps, arena_bytes), step_ps)
        self.simulated += 1
        self.rows.append(row)
        self.engines.add(engine)
        self.tasks += simulated.program.graph.tasks
        at = bisect(self.kept, (key, row), key=lambda entry: entry[:2])
        if step_ps <= self.limit_ps and at < self.keep:
            kept = Kept(plan=plan, arena_bytes=arena_bytes, simulated=simulated)
            self.kept.insert(at, (key, row, kept))
            del self.kept[self.keep :]
            if sum(kept.tasks for _, _, kept in self.kept) > HELD_TASKS:
                for _, _, kept in self.kept:
                    kept.candidate()

    def best(self, top: int) -> tuple[Candidate, ...]:
        """Return the first plans with their predictions."""
        return tuple(kept.candidate() for _, _, kept in self.kept[:top])

    def is_closed_to(self, key: Key) -> bool:
        """Whether no row with this bound can enter the first ``keep``."""
        return len(self.kept) >= self.keep and key >= self.kept[self.keep - 1][0]


def _is_proved(table: PlanTable, found: Found, done: Ints, worth: int) -> bool:
    """Whether none of ``worth`` rows that was not simulated can enter what was to be kept."""
    if len(found.kept) < found.keep:
        return found.simulated == worth
    best_key, last_key = found.kept[0][0], found.kept[found.keep - 1][0]
    return not left_over(table, found.objective, done, last_key, best_key).better


def certify(
    table: PlanTable, tally: Tally, found: Found, stopped_by: str, top: int, budget: int | None
) -> Certificate:
    """Say what was proved."""
    (best_key, _, _), (last_key, _, _) = found.kept[0], found.kept[:top][-1]
    done = np.array(found.rows, dtype=np.int64)
    runner = found.kept[1] if len(found.kept) > 1 else None
    left = left_over(table, found.objective, done, last_key, runner[0] if runner else None)
    worth = tally.by_name()["fits"] - tally.spare
    gap_frac = 0.0
    if left.least is not None and left.least < best_key and best_key[0] > 0:
        gap_frac = max(0.0, 1 - min(left.least[0] / best_key[0], 1.0))
    frac = runner[0][1] / best_key[1] - 1 if runner else 0.0
    better = "better" if found.objective.name not in ("time", "throughput") else "faster"
    if left.least is None or left.least >= best_key:
        statement = f"none of the candidates can be {better}"
    else:
        statement = f"a candidate not simulated may be up to {format_frac(gap_frac)} {better}"
    if runner:
        proved = left.least is None or left.least >= runner[0]
        second = "the runner-up" if proved else "the next best of those simulated,"
        statement += f"; {second} {runner[2].plan.label} is {format_frac(frac)} slower"
    if stopped_by == "proof" and not _is_proved(table, found, done, worth):
        stopped_by = "budget" if budget is not None else "tasks"
    return Certificate(
        candidates=table.space.rows,
        by_verdict=tally.by_name(),
        simulated=found.simulated,
        pruned_by_bound=worth - found.simulated - left.better,
        pruned_by_dominance=tally.spare,
        not_reached=left.better,
        runner_up=runner[2].plan.label if runner else "",
        runner_up_frac=frac,
        engine=" and ".join(sorted(found.engines)),
        stopped_by=stopped_by,
        statement=statement,
        objective=found.objective.name,
        gap_frac=gap_frac,
        examples={v.name.lower(): table.plan(row).label for v, row in tally.examples.items()},
    )
