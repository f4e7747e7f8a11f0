"""Best-first search: price all candidates, simulate the most promising, prove the rest no better.

Every candidate's bound is a lower bound of its simulated time, and so of its objective; once the
next bound is no smaller than the K-th best simulated one, no candidate left can enter the first K.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from hwprofiles.errors import NothingFits
from hwprofiles.units import PS_PER_S, Ints, format_frac
from planner.machine import Machine
from planner.model import ModelGraph
from planner.objective import Key, Objective
from planner.placements import placements
from planner.plan import Plan, Training
from planner.predict import Prediction, predict
from planner.ranking import Queue, best_rows, front, left_over
from planner.shapes import offered
from planner.space import Choices, Constraints, Space, plan_space
from planner.table import DOMINANCE, PlanTable, Tally, price
from sim.engine import choose

EFFORT = 15_000
"""Tasks lowered one by one that a search spends where no budget is given: a good second."""

NEAR_BEST = 1.02
"""Where every program is too large: how far above the least bound the one may be that is tried."""

Progress = Callable[[str, int, int, float | None], None]
"""Told (stage, done, in all, best objective so far); of ``simulating`` the counts are tasks."""


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


@dataclass(slots=True, kw_only=True)
class Found:
    """What has been simulated so far, best first."""

    objective: Objective
    keep: int
    limit_ps: float
    simulated: int = 0
    rows: list[int] = field(default_factory=list)
    kept: list[tuple[Key, int, Candidate]] = field(default_factory=list)
    """(objective and time, row, candidate)"""
    tasks: int = 0

    def add(self, row: int, candidate: Candidate, step_ps: int) -> None:
        """Note a simulated row; one that is slower than allowed is not kept."""
        arena = max(candidate.prediction.arena_bytes)
        key = (self.objective.of_plan(candidate.plan, step_ps, arena), step_ps)
        self.simulated += 1
        self.rows.append(row)
        self.tasks += candidate.prediction.tasks
        if step_ps <= self.limit_ps:
            self.kept.append((key, row, candidate))
            self.kept.sort(key=lambda entry: entry[:2])

    def is_closed_to(self, key: Key) -> bool:
        """Whether no row with this bound can enter the first ``keep``."""
        return len(self.kept) >= self.keep and key >= self.kept[self.keep - 1][0]


def machine_space(
    model: ModelGraph,
    training: Training,
    machine: Machine,
    constraints: Constraints | None = None,
    choices: Choices | None = None,
) -> Space:
    """Return the plans of a model on a machine, placements worth a look included."""
    return plan_space(
        model,
        training,
        machine.devices,
        placements=lambda workers: list(placements(machine.cluster(workers), workers).values()),
        shaped=lambda workers: offered(machine.cluster(workers), workers),
        choices=choices,
        constraints=constraints,
    )


def search(  # noqa: PLR0913, the question, and how far to go
    model: ModelGraph,
    training: Training,
    machine: Machine,
    *,
    top: int = 5,
    budget: int | None = None,
    fixed: dict[str, object] | None = None,
    constraints: Constraints | None = None,
    objective: str = "time",
    progress: Progress = lambda stage, done, total, best: None,
) -> SearchResult:
    """Return the ``top`` best plans with a certificate.

    ``budget`` counts simulations; without one the search stops where the programs simulated sum up
    to ``EFFORT`` tasks, never by the clock. ``fixed`` is short for constraints that only fix plan
    fields. Ctrl-C keeps what was found. Equal inputs give equal results.

    Raises
    ------
    NothingFits
        When no candidate can be; the message counts the verdicts.
    PlanError
        When the objective cannot be had.
    """
    constraints = constraints or Constraints(fixed=fixed or {})
    aim = Objective.named(objective, machine)
    table, tally = _priced(model, training, machine, constraints, progress)
    queue = best_rows(table, aim)
    limit_ps = constraints.most.get("step_s", float("inf")) * PS_PER_S
    found = Found(objective=aim, keep=max(2, top), limit_ps=limit_ps)
    stopped_by = _simulate(model, training, machine, table, queue, found, budget, progress)
    if not found.kept:
        raise NothingFits(
            f"plan: each of the {found.simulated} plans that were simulated takes longer than"
            f" {limit_ps / PS_PER_S:g} s; raise the limit, --budget, or name a larger cluster"
        )
    best = tuple(candidate for _, _, candidate in found.kept[:top])
    certificate = _certificate(table, tally, found, stopped_by, top, budget)
    return SearchResult(best=best, certificate=certificate, table=table)


def search_front(
    model: ModelGraph,
    training: Training,
    machine: Machine,
    objectives: tuple[str, str],
    *,
    budget: int | None = None,
    constraints: Constraints | None = None,
    progress: Progress = lambda stage, done, total, best: None,
) -> SearchResult:
    """Return plans that none of those simulated beats in both objectives, by the first of them.

    The front of the bounds is simulated, as far as budget or tasks allow.

    Raises
    ------
    NothingFits, PlanError
        As :func:`search`.
    """
    constraints = constraints or Constraints()
    first, second = (Objective.named(name, machine) for name in objectives)
    table, tally = _priced(model, training, machine, constraints, progress)
    queue = front(table, first, second)
    found = Found(objective=first, keep=len(queue) + 1, limit_ps=float("inf"))
    stopped_by = _simulate(model, training, machine, table, queue, found, budget, progress)
    kept: list[Candidate] = []
    least = float("inf")
    for (_, step_ps), _, candidate in found.kept:
        value = second.of_plan(candidate.plan, step_ps, max(candidate.prediction.arena_bytes))
        if value < least:
            kept, least = [*kept, candidate], value
    proof = _certificate(table, tally, found, stopped_by, len(found.kept), budget)
    statement = (
        f"of {len(queue)} plans on the front of the bounds {found.simulated} were simulated, and"
        f" {len(kept)} of them are beaten by none in {objectives[0]} and {objectives[1]} both"
    )
    certificate = replace(proof, statement=statement, objective=" and ".join(objectives))
    return SearchResult(best=tuple(kept), certificate=certificate, table=table)


def _simulate(  # noqa: PLR0913, the state of a search
    model: ModelGraph,
    training: Training,
    machine: Machine,
    table: PlanTable,
    queue: Queue,
    found: Found,
    budget: int | None,
    progress: Progress,
) -> str:
    """Simulate rows of the queue while they may be kept; return what stopped it."""
    try:
        for place in _worth_simulating(queue, found, budget):
            row = int(queue.rows[place])
            plan = table.plan(row)
            prediction, _, timeline = predict(model, training, plan, machine)
            found.add(row, Candidate(plan=plan, prediction=prediction), timeline.makespan_ps)
            _tell(progress, queue, found, budget)
    except KeyboardInterrupt:
        if not found.kept:
            raise
        return "interrupt"
    return "proof"


def _priced(
    model: ModelGraph,
    training: Training,
    machine: Machine,
    constraints: Constraints,
    progress: Progress,
) -> tuple[PlanTable, Tally]:
    """Return the priced space and what became of its rows, some of which can be."""
    space = machine_space(model, training, machine, constraints)

    def told(done: int, total: int) -> None:
        progress("pricing", done, total, None)

    table = price(model, training, space, machine, constraints, told)
    tally = table.tally()
    if not any(count for verdict, count in tally.counts.items() if verdict.name == "FITS"):
        why = ", ".join(f"{count} {v.value}" for v, count in tally.counts.items() if count)
        raise NothingFits(
            f"plan: none of {space.rows} candidates can be"
            f" ({why or 'the constraints leave none'}); change --batch, the constraints or the"
            " cluster"
        )
    return table, tally


def _worth_simulating(queue: Queue, found: Found, budget: int | None) -> Iterator[int]:
    """Yield places by bound until none left can be kept, or budget or effort are spent.

    Where effort is what counts, a program that is too large for what is left of it is passed over;
    where all that are bounded near the best are too large, the smallest of these is taken alone.
    """
    left = EFFORT
    if budget is None and len(queue):
        near = queue.value <= queue.value[0] * NEAR_BEST
        if queue.effort[near].min() > left:
            yield int(np.flatnonzero(near)[np.argmin(queue.effort[near])])
            return
    for place in range(len(queue)):
        if found.is_closed_to(queue.key(place)):
            return
        if budget is not None and found.simulated >= budget:
            return
        effort = int(queue.effort[place])
        if budget is None and effort > left:
            continue
        left -= effort
        yield place


def _tell(progress: Progress, queue: Queue, found: Found, budget: int | None) -> None:
    """Report tasks simulated, and about how many it will be."""
    last = found.kept[found.keep - 1][0] if len(found.kept) >= found.keep else (np.inf, 0)
    rest = queue.value[found.simulated :] < last[0]
    tasks = queue.tasks[found.simulated :][rest]
    if budget is not None:
        tasks = tasks[: max(0, budget - found.simulated)]
    else:
        tasks = tasks[np.cumsum(queue.effort[found.simulated :][rest]) <= EFFORT]
    best = found.kept[0][0][0] if found.kept else None
    progress("simulating", found.tasks, found.tasks + int(tasks.sum()), best)


def _is_proved(table: PlanTable, found: Found, done: Ints) -> bool:
    """Whether no row that was not simulated can enter what was to be kept."""
    complete = len(found.kept) >= found.keep
    key = found.kept[found.keep - 1][0] if complete else (np.inf, 0)
    return not left_over(table, found.objective, done, key).better


def _certificate(
    table: PlanTable, tally: Tally, found: Found, stopped_by: str, top: int, budget: int | None
) -> Certificate:
    """Say what was proved."""
    (best_key, _, _), (last_key, _, _) = found.kept[0], found.kept[:top][-1]
    done = np.array(found.rows, dtype=np.int64)
    left = left_over(table, found.objective, done, last_key)
    fits = tally.by_name()["fits"]
    gap_frac = 0.0
    if left.least is not None and left.least < best_key and best_key[0] > 0:
        gap_frac = max(0.0, 1 - min(left.least[0] / best_key[0], 1.0))
    runner = found.kept[1] if len(found.kept) > 1 else None
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
    if stopped_by == "proof" and not _is_proved(table, found, done):
        stopped_by = "budget" if budget is not None else "tasks"
    return Certificate(
        candidates=table.space.rows,
        by_verdict=tally.by_name(),
        simulated=found.simulated,
        pruned_by_bound=fits - tally.spare - found.simulated - left.better,
        pruned_by_dominance=tally.spare,
        not_reached=left.better,
        runner_up=runner[2].plan.label if runner else "",
        runner_up_frac=frac,
        engine=" and ".join(sorted({choose(c.prediction.tasks) for _, _, c in found.kept})),
        stopped_by=stopped_by,
        statement=statement,
        objective=found.objective.name,
        gap_frac=gap_frac,
        examples={v.name.lower(): table.plan(row).label for v, row in tally.examples.items()},
    )
