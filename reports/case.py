"""What a page is about: a plan file, perhaps a measurement, and the plan that both speak of."""

from dataclasses import dataclass

from hwprofiles.errors import RecordError
from planner.measurement import Measurement
from planner.plan import Plan
from planner.records import PlanFile, RankedPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A plan file with the measurement of one of its plans, if there is one."""

    plans: PlanFile
    measured: Measurement | None

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
        """One of ``passed``, ``failed``, ``void``, ``not checked``."""
        check = self.measured.check if self.measured else None
        if check is None:
            return "not checked"
        if not check.valid:
            return "void"
        return "passed" if check.passed else "failed"


def layout(plan: Plan) -> str:
    """Return a plan in words: workers, microbatch, exchange."""
    workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
    if plan.workers == 1:
        return f"{workers}, microbatch {plan.microbatch}, no exchange"
    how = f"{plan.algorithm} exchange" + (" overlapped" if plan.overlap else "")
    return f"{workers}, microbatch {plan.microbatch}, {how}"
