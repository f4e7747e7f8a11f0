"""What if the hardware were another: the plans of a plan file priced again, or searched again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwprofiles.errors import NothingFits, PlanError
from hwprofiles.grade import Grade
from planner.certificate import Certificate, SearchResult
from planner.contest import held_to, refuse_other_objectives
from planner.evidence import Evidence
from planner.layout import memory_bytes
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.plan import Plan
from planner.predict import Prediction, predict
from planner.records import ClusterRecord, PlanFile, RankedPlan, plans_sha256
from planner.search import search
from planner.settings import change, parse_setting
from planner.space import Constraints

Told = Callable[[int, int], None]
_CURVES = "; ops that the plan file has no copy of are priced by fitted curves"

INTERRUPT = "interrupt"
"""What a search that was broken off says stopped it."""
MODERATE, REPLANNED = 64, 32
"""On up to so many devices a search without a budget simulates up to so many plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """One plan on the hardware before and after."""

    label: str
    before: Prediction | None
    """None for a plan that only the new search found."""
    after: Prediction | None
    """None where the plan no longer fits the memory, or did not come among the first."""
    step_change_frac: float | None
    """Step after over step before, less one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What ``foreplan what-if`` says."""

    model: str
    cluster: str
    settings: tuple[str, ...]
    changes_hardware: bool
    """False where every setting left all as it was."""
    searched: bool
    """Whether all candidates were searched again, or the plans of the file priced again."""
    winner_before: str
    winner_after: str
    plans: tuple[Repriced, ...]
    """In the order after; then those that are left over."""
    statement: str
    """What is known of candidates that are not listed."""
    interrupted: bool = False
    """Whether the new search was broken off; the best so far are listed."""


def what_if(
    plans: PlanFile,
    texts: Sequence[str],
    *,
    search_again: bool = False,
    budget: int | None = None,
    told: Told = lambda done, total: None,
) -> tuple[WhatIf, PlanFile]:
    """Return what the settings ``texts`` change, and the plan file of the changed hardware.

    Raises
    ------
    PlanError
        A setting that cannot be read.
    NothingFits
        No plan fits the changed hardware.
    """
    refuse_other_objectives(plans)
    if not texts:
        raise PlanError("--set: expected at least one NAME=VALUE, got none; give e.g. bandwidth=2x")
    texts = ["=".join(part.strip() for part in text.rpartition("=")[::2]) for text in texts]
    settings = [parse_setting(text, plans.machine.values()) for text in texts]
    names = [setting.name for setting in settings]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise PlanError(f"--set {twice}: expected one value, got several; give one")
    records = change(plans.machine, settings)
    changes = records != dict(plans.machine)
    new = plans
    if changes:
        name = f"{plans.cluster} with {', '.join(texts)}"
        records = {key: replace(record, name=name) for key, record in records.items()}
        new = replace(plans, cluster=name, machine=records, evidence=_evidence(plans, records))
    model = load_model(plans.model)
    if search_again:
        found = _search(model, new, budget, told)
        ranked = tuple(
            RankedPlan(label=c.plan.label, plan=c.plan, prediction=c.prediction) for c in found.best
        )
        certificate = found.certificate
    else:
        ranked = _predict(model, new, told)
        certificate = _certificate(plans, ranked, texts) if changes else plans.certificate
    new = replace(new, plans=ranked, plans_sha256=plans_sha256(ranked), certificate=certificate)
    return _compare(plans, new, texts, search_again), new


def _evidence(plans: PlanFile, records: Mapping[int, ClusterRecord]) -> Evidence | None:
    """Return what is still known of the changed hardware from runs and collectives.

    The deviation of published runs is that of their devices; a stack's fit is that of its links.
    """
    old = plans.evidence
    if old is None:
        return None
    reached = [
        {kind.name: kind.efficiency for record in some.values() for kind in record.device_kinds}
        for some in (plans.machine, records)
    ]
    if reached[0] != reached[1]:
        old = replace(old, deviation=None, deviation_many=None)
    links = [link for record in records.values() for link in record.links]
    fitted = {link.name for link in links if link.grade <= Grade.FITTED}
    stacks = (replace(s, links=tuple(n for n in s.links if n in fitted)) for s in old.stacks)
    return replace(old, stacks=tuple(stack for stack in stacks if stack.links))


def _predict(model: ModelGraph, new: PlanFile, told: Told) -> tuple[RankedPlan, ...]:
    """Predict the plans that still fit, best first."""
    machine = new.to_machine()
    found = []
    for number, ranked in enumerate(new.plans):
        told(number, len(new.plans))
        if not _fits(model, new, ranked.plan, machine):
            continue
        prediction, _, _ = predict(model, new.training, ranked.plan, machine)
        found.append(replace(ranked, prediction=prediction))
    if not found:
        raise NothingFits(
            f"what-if: none of the {len(new.plans)} plans of the file fits the memory of the"
            " changed devices; give --replan to search all candidates, or more memory"
        )
    return tuple(sorted(found, key=lambda ranked: ranked.prediction.step_s))


def _fits(model: ModelGraph, new: PlanFile, plan: Plan, machine: Machine) -> bool:
    needed = sum(memory_bytes(model, new.training, plan).values())
    devices = machine.cluster(plan.workers).devices
    return all(needed <= devices[d].memory_bytes for d in plan.placement)


def _search(model: ModelGraph, new: PlanFile, budget: int | None, told: Told) -> SearchResult:
    """Search what the file was searched over, on the changed hardware.

    A file of ``local`` holds op costs for some numbers of workers only; each is searched apart, and
    the one with the fastest plan is kept. A search goes on until what is left is proved no faster,
    where that takes seconds: near a flip point plans are a thousandth apart.
    """
    machine, held = new.to_machine(), held_to(new) or Constraints()
    if budget is None and machine.devices <= MODERATE:
        budget = REPLANNED
    known = sorted(machine.clusters)
    every = known == [0] or known == list(range(1, machine.devices + 1))
    asked = [held]
    if not every and "workers" not in held.fixed:
        asked = [replace(held, fixed={**held.fixed, "workers": w}) for w in known]
    found: list[SearchResult] = []
    for choice in asked:
        try:
            result = search(
                model,
                new.training,
                machine,
                top=len(new.plans),
                budget=budget,
                constraints=choice,
                progress=lambda stage, done, total, best: told(done, total),
            )
        except KeyboardInterrupt:
            if not found:
                raise
            return _broken_off(_fastest(found))
        found.append(result)
        if result.certificate.stopped_by == INTERRUPT:
            return _broken_off(_fastest(found))
    return _fastest(found)


def _fastest(found: Sequence[SearchResult]) -> SearchResult:
    return min(found, key=lambda result: result.best[0].prediction.step_s)


def _broken_off(best: SearchResult) -> SearchResult:
    """Return the best of several searches of which the last was interrupted."""
    return replace(best, certificate=replace(best.certificate, stopped_by=INTERRUPT))


def _certificate(
    plans: PlanFile, ranked: Sequence[RankedPlan], texts: Sequence[str]
) -> Certificate:
    """Say that the other candidates were not looked at."""
    old = plans.certificate
    best_s = ranked[0].prediction.step_s
    runner = ranked[1] if len(ranked) > 1 else None
    fits = old.by_verdict.get("fits", len(ranked))
    return replace(
        old,
        simulated=len(ranked),
        pruned_by_bound=0,
        not_reached=max(0, fits - old.pruned_by_dominance - len(ranked)),
        runner_up=runner.label if runner else "",
        runner_up_frac=runner.prediction.step_s / best_s - 1 if runner else 0.0,
        stopped_by="what-if",
        statement=(
            f"priced again with {', '.join(texts)}; candidates that the file does not list were not"
            " looked at"
        ),
    )


def _compare(old: PlanFile, new: PlanFile, texts: Sequence[str], searched: bool) -> WhatIf:
    before = {ranked.plan: ranked for ranked in old.plans}
    after = {ranked.plan: ranked for ranked in new.plans}
    held = old.plans[0]
    model, machine = load_model(new.model), new.to_machine()
    if held.plan not in after and _fits(model, new, held.plan, machine):
        prediction, _, _ = predict(model, new.training, held.plan, machine)
        after[held.plan] = replace(held, prediction=prediction)
    rows = [_row(plan, before, after) for plan in dict.fromkeys([*after, *before])]
    return WhatIf(
        model=old.model,
        cluster=old.cluster,
        settings=tuple(texts),
        changes_hardware=new.machine != old.machine,
        searched=searched,
        winner_before=held.label,
        winner_after=new.plans[0].label,
        plans=tuple(rows),
        statement=new.certificate.statement + (_CURVES if searched and _is_measured(new) else ""),
        interrupted=searched and new.certificate.stopped_by == INTERRUPT,
    )


def _is_measured(plans: PlanFile) -> bool:
    return any(ops for record in plans.machine.values() for ops in record.ops.values())


def _row(plan: Plan, before: dict[Plan, RankedPlan], after: dict[Plan, RankedPlan]) -> Repriced:
    old = before[plan].prediction if plan in before else None
    new = after[plan].prediction if plan in after else None
    label = (after[plan] if plan in after else before[plan]).label
    moved = new.step_s / old.step_s - 1 if old and new else None
    return Repriced(label=label, before=old, after=new, step_change_frac=moved)
