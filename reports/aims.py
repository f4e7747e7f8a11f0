"""What a search was asked to make small: in words, and what a million samples take of it."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from hwprofiles.errors import ForeplanError
from planner.objective import FORMULAS, Objective
from planner.records import PlanFile, RankedPlan

MILLION = 1_000_000
J_PER_KWH = 3.6e6
UNITS: Mapping[str, tuple[str, float]] = {"cost": ("usd", 1.0), "energy": ("kwh", J_PER_KWH)}
"""Kind of column, see ``tables.FORMATS``, and how many base units its unit is."""
ASKED: Mapping[str, str] = {
    "time": "fastest",
    "throughput": "fastest",
    "cost": "at the least cost",
    "energy": "with the least energy",
    "devices": "on the fewest devices",
    "memory": "in the least memory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """An objective that is no column of every page: cost or energy."""

    name: str
    kind: str
    per_million: Callable[[RankedPlan], float]

    @property
    def title(self) -> str:
        """Heading of its column."""
        return f"{self.name} of 1 M samples"

    @property
    def formula(self) -> str:
        """How it is worked out."""
        return f"{self.name.capitalize()} (grade datasheet): {FORMULAS[self.name]}."


def asked(plans: PlanFile) -> str:
    """Return how the model is to be trained, in words."""
    names = plans.certificate.objective.split(" and ")
    if len(names) == 1:
        return ASKED.get(names[0], f"with the least {names[0]}")
    return f"so that no other plan beats it in {' and '.join(names)} both"


def is_front(plans: PlanFile) -> bool:
    """Whether the plans are those that no other beats in two objectives both."""
    return " and " in plans.certificate.objective


def wanted(files: Iterable[PlanFile]) -> list[str]:
    """Return which of cost and energy any search was for."""
    found = {name for plans in files for name in plans.certificate.objective.split(" and ")}
    return [name for name in UNITS if name in found]


def aims(plans: PlanFile, names: Iterable[str]) -> list[Aim]:
    """Return those of ``names`` whose rates the file knows."""
    found = []
    for name in names:
        kind, unit = UNITS[name]
        with suppress(ForeplanError):  # nobody knows the price or the power
            objective = Objective.named(name, plans.to_machine())
            found.append(Aim(name=name, kind=kind, per_million=_per_million(objective, unit)))
    return found


def _per_million(objective: Objective, unit: float) -> Callable[[RankedPlan], float]:
    """Return what a million samples take, in units of so many base units."""

    def of(ranked: RankedPlan) -> float:
        plan = ranked.plan
        per_sample = objective.per_s(plan.workers, plan.placement) / ranked.prediction.samples_per_s
        return MILLION * per_sample / unit

    return of
