"""What a page is about: plan files, perhaps measurements of them, and what tells them apart."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from hwprofiles.errors import RecordError
from hwprofiles.units import KIB
from planner.measurement import Measurement
from planner.plan import Plan, Training
from planner.records import ClusterRecord, PlanFile, RankedPlan
from reports.replay import Replay, replay
from reports.scaling import Point, scaling
from reports.words import elided

LONGEST = 36
"""Signs of a part of a name of a case."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A plan file with the measurement of one of its plans, if there is one."""

    plans: PlanFile
    measured: Measurement | None = None
    name: str = ""
    """What tells it from the other cases of its page."""

    def __post_init__(self) -> None:
        """Refuse a measurement that answers another question."""
        if self.measured is None:
            return
        for name in ("model", "training"):
            planned, ran = getattr(self.plans, name), getattr(self.measured, name)
            if planned != ran:
                raise RecordError(
                    f"measurement: expected {name} {planned!r} as in the plan file, got {ran!r};"
                    " give the plan file that it was executed from"
                )

    @property
    def best(self) -> RankedPlan:
        """First plan of the file."""
        return self.plans.plans[0]

    @property
    def subject(self) -> RankedPlan:
        """The plan whose phases, memory and timelines are shown: the one that ran, or the best."""
        return self.measured.ranked if self.measured else self.best

    @property
    def pick(self) -> int | None:
        """Place of the subject in the plan file; none where the file does not hold it."""
        same = (i for i, ranked in enumerate(self.plans.plans) if ranked.plan == self.subject.plan)
        return next(same, None)

    @property
    def verdict(self) -> str:
        """One of ``passed``, ``failed``, ``void``, ``not checked``, ``not measured``."""
        if self.measured is None:
            return "not measured"
        check = self.measured.check
        if check is None:
            return "not checked"
        if not check.valid:
            return "void"
        return "passed" if check.passed else "failed"

    @property
    def badge(self) -> str:
        """The verdict as one reads it where nothing else is said."""
        return f"check {self.verdict}" if self.measured and self.measured.check else self.verdict

    @property
    def machine(self) -> ClusterRecord | None:
        """Return what the subject's prediction rests on."""
        records = self.plans.machine
        return records.get(self.subject.plan.workers, records.get(0))

    @cached_property
    def replay(self) -> Replay | None:
        """The subject's step, task by task; none where it cannot be had from the records."""
        trace = self.measured.trace if self.measured else None
        return replay(self.plans, self.subject, trace)

    @cached_property
    def curve(self) -> tuple[Point, ...]:
        """The subject on other numbers of workers, simulated."""
        return scaling(self.plans, self.subject)


Cases = tuple[Case, ...]


def pair(
    plans: Sequence[PlanFile],
    measured: Sequence[Measurement],
    names: Sequence[str] = (),
) -> Cases:
    """Return one case a measurement, and one for each plan file that has none, with their names.

    A measurement belongs to the first plan file of its question that holds the plan that ran, or
    else to the first of its question.

    Raises
    ------
    RecordError
        A measurement that no plan file asks for; ``names`` are those of the measurements' files.
    """
    found: list[list[Case]] = [[] for _ in plans]
    for place, run in enumerate(measured):
        same = [i for i, file in enumerate(plans) if _asks(file, run)]
        holds = [i for i in same if any(r.plan == run.ranked.plan for r in plans[i].plans)]
        if not same:
            where = f"{names[place]}: " if names else "measurement: "
            differ = [
                name
                for name in (field.name for field in fields(Training))
                if any(getattr(f.training, name) != getattr(run.training, name) for f in plans)
            ]
            asked = dict.fromkeys(_question(f.model, f.training, differ) for f in plans)
            raise RecordError(
                f"{where}expected a run of {' or '.join(asked)}, got one of"
                f" {_question(run.model, run.training, differ)}; give the plan file that it was"
                " executed from"
            )
        at = (holds or same)[0]
        found[at].append(Case(plans=plans[at], measured=run))
    pairs = zip(plans, found, strict=True)
    return named([c for file, own in pairs for c in own or [Case(plans=file)]])


def _question(model: str, training: Training, differ: Sequence[str]) -> str:
    """Return a question by its model, and what of its training is not the same everywhere."""
    told = [f"{name} {getattr(training, name)}" for name in differ]
    return f"{model}{' with ' * bool(told)}{', '.join(told)}"


def _asks(file: PlanFile, run: Measurement) -> bool:
    return (file.model, file.training) == (run.model, run.training)


def named(cases: Sequence[Case]) -> Cases:
    """Give each case the shortest name that tells it from the others, of what differs."""
    chosen: list[list[str]] = [[] for _ in cases]
    parts = zip(*(_parts(case) for case in cases), strict=True)
    for values in parts:
        longer = [[*name, value] for name, value in zip(chosen, values, strict=True)]
        if len(set(map(tuple, longer))) > len(set(map(tuple, chosen))):
            chosen = longer
    names = [", ".join(filter(None, name)) for name in chosen]
    if len(set(names)) < len(names):
        names = [f"{i + 1}: {name}".removesuffix(": ") for i, name in enumerate(names)]
    return tuple(replace(case, name=name) for case, name in zip(cases, names, strict=True))


def _parts(case: Case) -> list[str]:
    """Return what may tell a case from another, the most telling first."""
    plan, training = case.subject.plan, case.plans.training
    return [
        elided(case.plans.model, LONGEST),
        elided(case.plans.cluster, LONGEST),
        "one worker" if plan.workers == 1 else algorithm_words(plan),
        f"{plan.workers} workers",
        f"batch {training.batch}",
        training.dtype,
        f"microbatch {plan.microbatch}",
        f"{plan.bucket_bytes // KIB} KiB buckets",
        "overlap" if plan.overlap else "no overlap",
        elided(case.subject.label, LONGEST),
        "measured" if case.measured else "predicted",
    ]


def layout(plan: Plan) -> str:
    """Return a plan in words: workers, microbatch, exchange."""
    workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
    if plan.workers == 1:
        return f"{workers}, microbatch {plan.microbatch}, no exchange"
    how = f"{algorithm_words(plan)} exchange" + (" overlapped" if plan.overlap else "")
    return f"{workers}, microbatch {plan.microbatch}, {how}"


def algorithm_words(plan: Plan) -> str:
    """Return the algorithm of a plan's exchange as prose has it."""
    return plan.algorithm.replace("_", "-")
