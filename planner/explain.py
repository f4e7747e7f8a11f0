"""Why a plan of a plan file is where it is: from the file alone, by simulation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from hwprofiles.units import PS_PER_S
from planner.batches import AtBatch, Change, batch_flips, batches_expected, plan_changes
from planner.contest import Contest, refuse_other_objectives
from planner.evidence import StackEvidence
from planner.explain_course import ExplainCourse, Told
from planner.flips import Flip, Knob, Side, Turn, knobs
from planner.jitter import Order, order
from planner.model import load_model
from planner.records import PlanFile
from planner.reprice import Lowered, time_again
from planner.rivals import Rival, rivals
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
    waiting_s,
)

MOST_TASKS = 640_000
"""Tasks of the programs that are lowered for one explanation, which decides most flip points of
shipped clusters over all candidates. AlexNet on 16 devices takes 17 s of CPU time so; with 40,000
it took 7 s, and one flip point was 0.439x where planning anew says 0.603x."""
BATCHES_TO_TASKS = 2_000
"""Another batch means other programs, which take minutes to lower for large plans."""
SIDES: tuple[Side, ...] = ("below", "above")


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
class Response:
    """The step of the picked plan with one figure of the hardware halved and doubled."""

    knob: str
    """As in ``--set``."""
    half_s: float
    double_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """An input that does not matter."""

    name: str
    """A group of wires, or a figure as in ``--set``."""
    why: str
    """``carries no bytes``; or ``neither half nor double changes the step``, and another plan wins
    nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that ``foreplan explain`` says."""

    model: str
    cluster: str
    batch: int
    pick: int
    label: str
    step_s: float
    interval_s: tuple[float, float]
    interval_kind: str
    """``80 %``, or ``stated`` by the grade."""
    grade: str
    critical_path: tuple[PathPart, ...]
    communication: Communication
    input_stall_s: float
    waiting_s: float
    """In which a rank does nothing, a mean over the ranks."""
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
    rivals: tuple[Rival, ...]
    """The best candidates with another algorithm, with more or fewer workers; where flips are."""
    responses: tuple[Response, ...]
    """By figure, whose change moves the plan the most first."""
    idle: tuple[Idle, ...]
    interrupted: bool
    """Whether the search for flips, rivals and batches was broken off; those found stand here."""


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
    course = ExplainCourse(
        told=told,
        turns=len(SIDES) * len(turned) * looks,
        batches=batches_expected(plans, contest, own.plan) * (looks and vary),
    )
    timeline = time_again(own.program.graph)
    path = path_parts(own.program, timeline)
    cluster = machine.cluster(ranked.plan.workers)
    margin = _margin(plans, pick, contest, path, course)
    responses = _responses(plans, own, turned)
    links = link_uses(own.program, timeline, cluster)
    turns = _Turns(plans=plans, contest=contest, row=row, course=course)
    interrupted = False
    try:
        if looks:
            turns.turn(turned)
        if looks and vary:
            turns.batches = batch_flips(plans, contest, own.plan, course.batch)
    except KeyboardInterrupt:
        interrupted = True
    found, holders = tuple(turns.flips), turns.holders
    ahead = "" if row in holders else contest.plans[holders[0]].label

    return Explanation(
        model=plans.model,
        cluster=plans.cluster,
        batch=plans.training.batch,
        pick=pick,
        label=ranked.label,
        step_s=timeline.makespan_s,
        interval_s=ranked.prediction.interval_s,
        interval_kind=plans.interval_kind,
        grade=ranked.prediction.grade,
        critical_path=path,
        communication=communication(own.program, timeline),
        input_stall_s=input_stall_s(own.program, timeline),
        waiting_s=waiting_s(own.program, timeline),
        links=links,
        stacks=plans.evidence.stacks if plans.evidence else (),
        margin=margin,
        candidates=len(contest.plans),
        all_candidates=contest.is_whole,
        faster=ahead,
        tied=() if ahead else tuple(contest.plans[r].label for r in holders if r != row),
        flips=found,
        batches=turns.batches,
        rivals=turns.rivals,
        responses=responses,
        idle=(*_unused(links), *_without_effect(responses, timeline.makespan_s, found)),
        interrupted=interrupted,
    )


def _margin(
    plans: PlanFile, pick: int, contest: Contest, path: Sequence[PathPart], course: ExplainCourse
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


@dataclass(slots=True, kw_only=True)
class _Turns:
    """What is known so far of what would change the answer."""

    plans: PlanFile
    contest: Contest
    row: int
    course: ExplainCourse
    holders: Sequence[int] = ()
    flips: list[Flip] = field(default_factory=list)
    rivals: tuple[Rival, ...] = ()
    batches: tuple[AtBatch, ...] = ()

    def __post_init__(self) -> None:
        self.holders = (self.row,)

    def turn(self, turned: Sequence[Knob]) -> None:
        """Find who wins today and, where that is the plan, what would change it."""
        contest = self.contest
        now_ps = contest.floor_ps(contest.machine)
        self.holders = contest.leaders(now_ps)
        contest.told = lambda: self.course.turned(len(self.flips))
        is_asked = self.row in self.holders and len(contest.plans) > 1
        for knob, side in product(turned, SIDES) if is_asked else ():
            contest.told()
            turn = Turn.of(contest, self.plans, self.holders, now_ps, knob, side)
            self.flips.append(turn.flip())
            if (ahead := self._ahead()) is not None:
                self.flips, self.holders = [], (ahead,)
                break
        self.rivals = rivals(contest, self.row, now_ps)

    def _ahead(self) -> int | None:
        """Return a candidate that is faster today than the holders, if any that was simulated is.

        Where programs are large, those that lead today were decided among few.
        """

        def now_ps(row: int) -> int:
            return self.contest.step_ps(row, self.contest.machine)

        fastest = min(self.contest.lowered, key=now_ps)
        return fastest if now_ps(fastest) < now_ps(self.holders[0]) else None


def _unused(links: Sequence[LinkUse]) -> list[Idle]:
    return [Idle(name=use.name, why="carries no bytes") for use in links if not use.bytes]


def _responses(plans: PlanFile, own: Lowered, turned: Sequence[Knob]) -> tuple[Response, ...]:
    """Return how the step of the plan answers to every figure."""
    found = []
    for knob in turned:
        half, double = (own.step_ps(knob.machine(plans, x)) / PS_PER_S for x in (0.5, 2.0))
        found.append(Response(knob=knob.name, half_s=half, double_s=double))
    return tuple(sorted(found, key=lambda one: (-abs(one.double_s - one.half_s), one.knob)))


def _without_effect(
    responses: Sequence[Response], step_s: float, flips: Sequence[Flip]
) -> list[Idle]:
    """Return the figures that neither change the time of the plan nor let another win."""
    why = "neither half nor double changes the step"
    flipping = {flip.knob for flip in flips if flip.factor is not None}
    return [
        Idle(name=one.knob, why=why)
        for one in responses
        if one.half_s == one.double_s == step_s and one.knob not in flipping
    ]
