"""Why a plan of a plan file is where it is: from the file alone, by simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from hwprofiles.units import PS_PER_S
from planner.batches import AtBatch, Change, batch_flips, batches_expected, plan_changes
from planner.contest import Contest, refuse_other_objectives
from planner.evidence import StackEvidence
from planner.flips import Flip, Knob, Side, Turn, knobs
from planner.jitter import Order, order
from planner.model import load_model
from planner.records import PlanFile
from planner.reprice import Lowered, time_again
from planner.settings import wires_of
from planner.step_facts import (
    Communication,
    LinkUse,
    PathPart,
    communication,
    input_stall_s,
    link_uses,
    path_parts,
    seconds_by_phase,
)

MOST_TASKS = 640_000
"""Tasks of the programs that are lowered for one explanation, which decides most flip points of
shipped clusters over all candidates. AlexNet on 16 devices takes 17 s of CPU time so; with 40,000
it took 7 s, and one flip point was 0.439x where planning anew says 0.603x."""
BATCHES_TO_TASKS = 2_000
"""Another batch means other programs, which take minutes to lower for large plans."""
Told = Callable[[str, int, int], None]
"""Told (stage, done, in all): in thousandths of what lowering takes, of all stages together."""

SIDES: tuple[Side, ...] = ("below", "above")
LOWERING, JITTER, TURN, BATCH = 1000, 500, 350, 200
"""What a stage, one figure turned one way, and one batch take of that. Of four explanations (of
lenet-5 and alexnet on v100-quad, resnet-50 and densenet-201 on dgx-1-v100) the time left at half
time was then between 0.6 and 1.4 of what was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """How far an explanation is."""

    told: Told
    turns: int
    batches: int
    """How many there will be, about."""

    @property
    def total(self) -> int:
        """All there is to do."""
        return LOWERING + JITTER + TURN * self.turns + BATCH * self.batches

    def tell(self, what: str, done: float) -> None:
        """Tell that so much is done."""
        self.told(what, round(done), self.total)

    def jitter(self, done: int, count: int) -> None:
        """Tell how many seeds of the jitter are done."""
        self.tell("jitter", LOWERING + JITTER * done / count)

    def turned(self, done: int) -> None:
        """Tell how many turns are done."""
        self.tell("flip points", LOWERING + JITTER + TURN * done)

    def batch(self, seen: int) -> None:
        """Tell how many batches were looked at."""
        begun = LOWERING + JITTER + TURN * self.turns
        self.tell("batches", begun + BATCH * min(seen, self.batches))


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How a plan compares with the one that it is held against."""

    label: str
    """Of the other plan: the next slower one of the file, or the best where another was picked."""
    step_s: float
    ahead_s: float
    """How much sooner the picked plan ends; negative where it is slower."""
    ahead_frac: float
    """Of the picked plan's step."""
    differs: tuple[Change, ...]
    path_s: dict[str, float]
    """By phase: critical path of the other plan less that of the picked one, seconds."""
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """An input that the picked plan's time does not depend on."""

    name: str
    """A group of wires, or a figure as in ``--set``."""
    why: str
    """``carries no bytes``, or ``neither half nor double changes the step``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that ``foreplan explain`` says."""

    model: str
    cluster: str
    batch: int
    pick: int
    label: str
    step_s: float
    grade: str
    critical_path: tuple[PathPart, ...]
    communication: Communication
    input_stall_s: float
    links: tuple[LinkUse, ...]
    """Busiest first."""
    stacks: tuple[StackEvidence, ...]
    """What the figures of links rest on, where they are fitted."""
    margin: Margin | None
    """None where the file has one plan."""
    candidates: int
    """Among which flips were looked for."""
    all_candidates: bool
    """Whether these are all that the search had; else only those that the file can price."""
    faster: str
    """A candidate that is faster already, and that the search did not reach; empty if none is."""
    tied: tuple[str, ...]
    """Other candidates that take exactly as long; a flip is to none of these."""
    flips: tuple[Flip, ...]
    """Empty where another plan than the best was picked, or where it is not the best."""
    batches: tuple[AtBatch, ...]
    """Empty where the batch was not varied."""
    idle: tuple[Idle, ...]


def explain(
    plans: PlanFile,
    pick: int = 0,
    *,
    flips: bool = True,
    batches: bool | None = None,
    told: Told = lambda what, done, total: None,
) -> Explanation:
    """Return why plan ``pick`` of a plan file is where it is.

    ``flips`` says whether to look for what would change the answer, which takes longest;
    ``batches`` says whether to look for the batches at which another choice wins; without a word
    that is done where the plan has no more than ``BATCHES_TO_TASKS`` tasks.
    """
    refuse_other_objectives(plans)
    model, machine = load_model(plans.model), plans.to_machine()
    ranked = plans.plans[pick]
    turned = knobs({w.tier for record in plans.machine.values() for w in wires_of(record)})
    looks = flips and pick == 0
    told("lowering", 0, 1)
    contest = Contest.of(model, plans, MOST_TASKS)
    row = contest.plans.index(ranked.plan)
    own = contest.program(row)
    vary = own.program.graph.tasks <= BATCHES_TO_TASKS if batches is None else batches
    course = _Course(
        told=told,
        turns=len(SIDES) * len(turned) * looks,
        batches=batches_expected(plans, contest, own.plan) * (looks and vary),
    )
    timeline = time_again(own.program.graph)
    path = path_parts(own.program, timeline)
    cluster = machine.cluster(ranked.plan.workers)
    margin = _margin(plans, pick, contest, path, course)
    holders, found = _flips(plans, contest, row, turned, course) if looks else ((row,), ())
    ahead = "" if row in holders else contest.plans[holders[0]].label
    links = link_uses(own.program, timeline, cluster)

    return Explanation(
        model=plans.model,
        cluster=plans.cluster,
        batch=plans.training.batch,
        pick=pick,
        label=ranked.label,
        step_s=timeline.makespan_s,
        grade=ranked.prediction.grade,
        critical_path=path,
        communication=communication(own.program, timeline),
        input_stall_s=input_stall_s(own.program, timeline),
        links=links,
        stacks=plans.evidence.stacks if plans.evidence else (),
        margin=margin,
        candidates=len(contest.plans),
        all_candidates=contest.is_whole,
        faster=ahead,
        tied=() if ahead else tuple(contest.plans[r].label for r in holders if r != row),
        flips=found,
        batches=batch_flips(plans, contest, own.plan, course.batch) if looks and vary else (),
        idle=(*_unused(links), *_without_effect(plans, own, timeline.makespan_ps, turned)),
    )


def _margin(
    plans: PlanFile, pick: int, contest: Contest, path: Sequence[PathPart], course: _Course
) -> Margin | None:
    """Compare the picked plan with the best other one of the file."""
    if len(plans.plans) == 1:
        return None
    this = plans.plans[pick]
    slower = (r for r in plans.plans if r.prediction.step_s > this.prediction.step_s)
    other = plans.plans[0] if pick else next(slower, plans.plans[1])
    a, b = (contest.program(contest.plans.index(ranked.plan)) for ranked in (this, other))
    timelines = [time_again(lowered.program.graph) for lowered in (a, b)]
    this_ps, other_ps = (timeline.makespan_ps for timeline in timelines)
    own, others = seconds_by_phase(path), seconds_by_phase(path_parts(b.program, timelines[1]))
    phases = dict.fromkeys([*own, *others])
    ahead, behind = (a, b) if this_ps <= other_ps else (b, a)
    return Margin(
        label=other.label,
        step_s=other_ps / PS_PER_S,
        ahead_s=(other_ps - this_ps) / PS_PER_S,
        ahead_frac=other_ps / this_ps - 1,
        differs=plan_changes(this.plan, other.plan),
        path_s={phase: others.get(phase, 0.0) - own.get(phase, 0.0) for phase in phases},
        order=order(ahead, behind, contest.machine, told=course.jitter),
    )


def _flips(
    plans: PlanFile, contest: Contest, row: int, turned: Sequence[Knob], course: _Course
) -> tuple[Sequence[int], tuple[Flip, ...]]:
    """Return the rows that win today and, where ``row`` is one of them, what would change that."""
    now_ps = contest.floor_ps(contest.machine)
    holders = contest.leaders(now_ps)
    if row not in holders:
        return holders, ()
    found: list[Flip] = []
    contest.told = lambda: course.turned(len(found))
    for knob, side in product(turned, SIDES):
        contest.told()
        found.append(Turn.of(contest, plans, holders, now_ps, knob, side).flip())
    return holders, tuple(found)


def _unused(links: Sequence[LinkUse]) -> list[Idle]:
    return [Idle(name=use.name, why="carries no bytes") for use in links if not use.bytes]


def _without_effect(
    plans: PlanFile, own: Lowered, step_ps: int, turned: Sequence[Knob]
) -> list[Idle]:
    """Return the figures of which neither half nor double changes the time of the plan."""
    why = "neither half nor double changes the step"
    return [
        Idle(name=knob.name, why=why)
        for knob in turned
        if all(own.step_ps(knob.machine(plans, factor)) == step_ps for factor in (0.5, 2.0))
    ]
