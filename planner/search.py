"""Best-first search: price all candidates, simulate the most promising, prove the rest slower.

Every candidate's closed form is a lower bound of its simulated time, so once the next closed form
is no smaller than the K-th best simulated time, no candidate left can enter the first K.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from hwprofiles.errors import NothingFits
from hwprofiles.units import KIB, PS_PER_S, format_frac
from planner.collectives.base import algorithm_names, distinct_names
from planner.machine import Machine
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.plan import Plan, Training
from planner.predict import Prediction, predict
from planner.table import VERDICTS, PlanTable, price
from sim.engine import choose

BUCKET_BYTES = (64 * KIB, 256 * KIB)
"""Bucket sizes tried beside one bucket for all gradients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the search looked at, and why nothing else can be better."""

    candidates: int
    by_verdict: dict[str, int]
    """Rows by verdict; ``fits`` ones were priced."""
    simulated: int
    pruned_by_bound: int
    """Rows whose closed form already is no faster than the last plan kept."""
    pruned_by_dominance: int
    """Rows dropped by a named rule; no rule is in use yet."""
    not_reached: int
    """Rows neither simulated nor pruned because the search was stopped."""
    runner_up: str
    runner_up_frac: float
    """How much slower the runner-up is, as a fraction of the best."""
    engine: str
    stopped_by: str
    """``proof``, ``budget`` or ``interrupt``."""
    statement: str


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


def divisors(number: int) -> list[int]:
    """Return the divisors of ``number``, ascending."""
    low = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*low, *(number // d for d in low)})


def candidates(
    model: ModelGraph, training: Training, devices: int, fixed: dict[str, object]
) -> list[Plan]:
    """Return every plan of the space that agrees with ``fixed`` fields, in a fixed order.

    Of algorithms that are the same on so many workers, one is tried, unless one is asked for.
    """
    whole = model.parameter_count * DTYPE_BYTES[training.dtype]
    sizes = sorted({min(size, whole) for size in (*BUCKET_BYTES, whole)})
    found = []
    for workers in range(1, devices + 1):
        exchanges = algorithm_names() if "algorithm" in fixed else distinct_names(workers)
        for microbatch in divisors(training.batch):
            alone = workers == 1
            choices = product(
                ["none"] if alone else exchanges,
                [whole] if alone else sizes,
                [False] if alone else [False, True],
            )
            for name, bucket_bytes, overlap in choices:
                plan = Plan(
                    workers=workers,
                    microbatch=microbatch,
                    placement=tuple(range(workers)),
                    algorithm=name,
                    bucket_bytes=bucket_bytes,
                    overlap=overlap,
                )
                if all(getattr(plan, key) == value for key, value in fixed.items()):
                    found.append(plan)
    return found


def search(
    model: ModelGraph,
    training: Training,
    machine: Machine,
    *,
    top: int = 5,
    budget: int = 1000,
    fixed: dict[str, object] | None = None,
    progress: Callable[[int, int, float], None] = lambda done, most, best_s: None,
) -> SearchResult:
    """Return the ``top`` fastest plans with a certificate.

    ``budget`` counts simulations; ``progress`` is told (simulated, at most, best step so far).
    Ctrl-C keeps what was found. Equal inputs give equal results.

    Raises
    ------
    NothingFits
        When no candidate can be; the message counts the verdicts.
    """
    plans = candidates(model, training, machine.devices, fixed or {})
    table = price(model, training, plans, machine)
    order = sorted(table.feasible.tolist(), key=lambda i: (table.closed_form_ps[i], i))
    if not order:
        why = ", ".join(
            f"{count} {VERDICTS[i].value}"
            for i, count in enumerate(table.counts().values())
            if count
        )
        raise NothingFits(
            f"plan: none of {len(plans)} candidates can be"
            f" ({why or 'the constraints leave none'}); change --batch, --fix or the cluster"
        )
    found: list[tuple[int, int, Candidate]] = []
    stopped_by = "proof"
    try:
        for rank in _worth_simulating(table, order, found, top):
            if len(found) >= budget:
                stopped_by = "budget"
                break
            prediction, _, timeline = predict(model, training, plans[rank], machine)
            candidate = Candidate(plan=plans[rank], prediction=prediction)
            found.append((timeline.makespan_ps, rank, candidate))
            found.sort(key=lambda row: row[:2])
            progress(len(found), min(budget, len(order)), found[0][0] / PS_PER_S)
    except KeyboardInterrupt:
        if not found:
            raise
        stopped_by = "interrupt"
    best = tuple(candidate for _, _, candidate in found[:top])
    return SearchResult(
        best=best, certificate=_certificate(table, order, found, stopped_by, top), table=table
    )


def _worth_simulating(
    table: PlanTable,
    order: Sequence[int],
    found: Sequence[tuple[int, int, Candidate]],
    top: int,
) -> Iterator[int]:
    """Yield rows by closed form until none left can enter the first ``top`` (at least two)."""
    keep = max(2, top)
    for row in order:
        if len(found) >= keep and table.closed_form_ps[row] >= found[keep - 1][0]:
            return
        yield row


def _certificate(
    table: PlanTable,
    order: Sequence[int],
    found: Sequence[tuple[int, int, Candidate]],
    stopped_by: str,
    top: int,
) -> Certificate:
    """Say what was proved."""
    best_ps, last_ps = found[0][0], found[:top][-1][0]
    left = [int(table.closed_form_ps[row]) for row in order[len(found) :]]
    pruned = sum(closed_ps >= last_ps for closed_ps in left)
    least = min(left, default=None)
    runner = found[1] if len(found) > 1 else None
    frac = runner[0] / best_ps - 1 if runner else 0.0
    if least is None or least >= best_ps:
        statement = "none of the candidates can be faster"
    else:
        statement = (
            f"a candidate not simulated may be up to {format_frac(1 - least / best_ps)} faster"
        )
    if runner:
        proved = least is None or least >= runner[0]
        second = "the runner-up" if proved else "the next best of those simulated,"
        statement += f"; {second} {runner[2].plan.label} is {format_frac(frac)} slower"
    return Certificate(
        candidates=len(table.plans),
        by_verdict=table.counts(),
        simulated=len(found),
        pruned_by_bound=pruned,
        pruned_by_dominance=0,
        not_reached=len(left) - pruned,
        runner_up=runner[2].plan.label if runner else "",
        runner_up_frac=frac,
        engine=" and ".join(sorted({choose(c.prediction.tasks) for _, _, c in found})),
        stopped_by=stopped_by,
        statement=statement,
    )
