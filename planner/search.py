"""Best-first search: price all candidates, simulate the most promising, prove the rest no better.

Every candidate's bound is a lower bound of its simulated time, and so of its objective; once the
next bound is no smaller than the K-th best simulated one, no candidate left can enter the first K.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hwprofiles.errors import NothingFits
from hwprofiles.units import PS_PER_S
from planner.agenda import Agenda
from planner.certificate import Candidate, Found, SearchResult, certify
from planner.library_choice import is_policy, library_algorithm
from planner.machine import Machine
from planner.model import ModelGraph
from planner.objective import Objective
from planner.placements import placements
from planner.plan import Training
from planner.predict import simulation
from planner.ranking import Ranking, front
from planner.shapes import offered
from planner.space import Choices, Constraints, Space, plan_space
from planner.table import PlanTable, Tally, price
from sim.engine import compiles

Progress = Callable[[str, int, int, float | None], None]
"""Told (stage, done, in all, best objective so far), at its beginning that nothing is done.

Of ``pricing`` the counts are rows, of ``bounding`` exchanges, of ``simulating`` work as
``planner.agenda`` counts it.
"""
COMPILING = "compiling the engine for large plans, this once"
"""A stage beside them, some ten seconds, with the counts of ``simulating``."""


def machine_space(
    model: ModelGraph,
    training: Training,
    machine: Machine,
    constraints: Constraints | None = None,
    choices: Choices | None = None,
) -> Space:
    """Return the plans of a model on a machine, placements worth a look included.

    Raises
    ------
    PlanError
        When a library is to choose the algorithms, and its choice on this machine is not known.
    """
    held, policy = constraints or Constraints(), None
    if is_policy(name := held.fixed.get("algorithm")):
        policy = str(name)
        held = replace(held, fixed={k: v for k, v in held.fixed.items() if k != "algorithm"})
    return plan_space(
        model,
        training,
        machine.devices,
        placements=lambda workers: list(placements(machine.cluster(workers), workers).values()),
        shaped=lambda workers: offered(machine.cluster(workers), workers),
        named=partial(_named, policy, machine, training.dtype) if policy else None,
        choices=choices,
        constraints=held,
    )


def _named(policy: str, machine: Machine, dtype: str, workers: int) -> str:
    return library_algorithm(policy, machine, workers, dtype)


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

    ``budget`` counts simulations; without one the search stops where what was simulated sums up to
    ``planner.agenda.EFFORT_US`` of work as counted, never by the clock, or where nothing is to be
    gained. ``fixed`` is short for constraints that only fix plan fields. Ctrl-C keeps what was
    found. Equal inputs give equal results.

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
    ranking = Ranking.of(table, aim)
    limit_ps = constraints.most.get("step_s", float("inf")) * PS_PER_S
    found = Found(objective=aim, keep=max(2, top), limit_ps=limit_ps)
    stopped_by = _simulate(model, training, machine, ranking, found, budget, progress)
    if not found.kept:
        raise NothingFits(
            f"plan: each of the {found.simulated} plans that were simulated takes longer than"
            f" {limit_ps / PS_PER_S:g} s; raise the limit, --budget, or name a larger cluster"
        )
    try:
        best = found.best(top)
    except KeyboardInterrupt:  # what was found is told all the same
        stopped_by, best = "interrupt", found.best(top)
    certificate = certify(table, tally, found, stopped_by, top, budget)
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
    ranking = Ranking(table=table, objective=first, queue=queue)
    found = Found(objective=first, keep=len(queue) + 1, limit_ps=float("inf"))
    stopped_by = _simulate(model, training, machine, ranking, found, budget, progress)
    kept: list[Candidate] = []
    least = float("inf")
    for (_, step_ps), _, one in found.kept:
        value = second.of_plan(one.plan, step_ps, one.arena_bytes)
        if value < least:
            kept, least = [*kept, one.candidate()], value
    proof = certify(table, tally, found, stopped_by, len(found.kept), budget)
    statement = (
        f"of {len(queue)} plans on the front of the bounds {found.simulated} were simulated, and"
        f" {len(kept)} of them are beaten by none in {objectives[0]} and {objectives[1]} both"
    )
    certificate = replace(proof, statement=statement, objective=" and ".join(objectives))
    return SearchResult(best=tuple(kept), certificate=certificate, table=table)


def _simulate(
    model: ModelGraph,
    training: Training,
    machine: Machine,
    ranking: Ranking,
    found: Found,
    budget: int | None,
    progress: Progress,
) -> str:
    """Simulate rows in their order while they may be kept; return what stopped it."""
    agenda = Agenda(ranking=ranking, found=found, budget=budget, devices=machine.devices)
    ranking.reaches(0)
    progress("simulating", 0, agenda.ahead(), None)
    try:
        for entry in agenda:
            plan = ranking.table.plan(entry.row)
            if compiles(entry.engine):
                progress(COMPILING, agenda.work_us, agenda.work_us + agenda.ahead(), None)
            simulated = simulation(model, training, plan, machine, entry.bound_ps, entry.engine)
            found.add(entry.row, simulated, entry.engine)
            agenda.note(entry, simulated.timeline)
            best = found.kept[0][0][0] if found.kept else None
            progress("simulating", agenda.work_us, agenda.work_us + agenda.ahead(), best)
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

    def told(stage: str, done: int, total: int) -> None:
        progress(stage, done, total, None)

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
