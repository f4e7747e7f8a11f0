"""What ``foreplan bench search`` measures, and the rows that it recomputes one by one."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foreplan.machines import load_machine
from hwprofiles.errors import CheckFailed
from hwprofiles.units import MIB
from planner.cost import estimate
from planner.layout import memory_bytes
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.objective import Objective
from planner.plan import Training
from planner.ranking import best_rows
from planner.search import machine_space
from planner.space import Choices
from planner.table import PlanTable, price


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A search that is timed: at least a million rows that divide."""

    model: str
    cluster: str
    batch: int
    choices: Choices


BUCKETS = tuple(size * MIB for size in (1, 2, 4, 8, 12, 16, 25, 32, 48, 64))
SEARCHES = {
    "wide": Asked(
        model="resnet-50",
        cluster="dgx-a100-80g:16",
        batch=4096,
        choices=Choices(
            bucket_bytes=BUCKETS,
            input_slots=tuple(range(1, 17)),
            activation_slots=tuple(range(1, 17)),
            landing_slots=tuple(range(1, 17)),
        ),
    ),
    "natural": Asked(
        model="alexnet",
        cluster="dgx-a100-80g:16",
        batch=55_440,
        choices=Choices(bucket_bytes=BUCKETS),
    ),
}
"""Few numbers of workers with many values of every axis; and many of workers and microbatches, with
the slots that a search tries."""
CHECKED_ROWS, TOLD_ROWS = 1000, 100
"""Rows that are recomputed, and how many take about as long as pricing all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRates:
    """What a search prices, and how fast."""

    candidates: int
    by_verdict: Mapping[str, int]
    priced: int
    """Rows that divide: their time and memory are both worked out."""
    axes: Mapping[str, int]
    """How many values each axis takes."""
    factors_s: float
    """CPU time in which the space and all factors were built, once."""
    exchanges_s: float
    """The part of it in which exchanges were: moves of every algorithm on every number of ranks."""
    stream_s: float
    """CPU time in which all rows were priced from them and ranked: the median of runs."""
    checked: int
    """Rows found equal to the scalar path, to the bit."""

    @property
    def rows_per_s(self) -> float:
        """Rows priced a second of one core."""
        return self.priced / self.stream_s

    @property
    def all_rows_per_s(self) -> float:
        """The same, with the building of the factors."""
        return self.priced / (self.factors_s + self.stream_s)

    def row(self) -> dict[str, Any]:
        """Return the fields and the rates."""
        rates = {"rows_per_s": self.rows_per_s, "all_rows_per_s": self.all_rows_per_s}
        return asdict(self) | rates


def search_rates(
    asked: Asked,
    repeats: int,
    seed: int = 0,
    told: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> SearchRates:
    """Price a large space, rank it, and recompute some of its rows one by one.

    ``told`` hears (done, total, what is next): each is of about the same length.

    Raises
    ------
    CheckFailed
        When a row differs from the scalar path.
    """
    model, training = load_model(asked.model), Training(batch=asked.batch)
    machine = load_machine(asked.cluster)
    total = 1 + repeats + CHECKED_ROWS // TOLD_ROWS
    told(0, total, "building factors")
    start = time.process_time()
    space = machine_space(model, training, machine, choices=asked.choices)
    table = price(model, training, space, machine)
    before = time.process_time()
    table.price_all()
    factors_s, exchanges_s = (time.process_time() - since for since in (start, before))
    aim = Objective.named("time", machine)
    seconds = []
    for run in range(repeats):
        told(1 + run, total, "pricing all rows")
        start = time.process_time()
        best_rows(table, aim)
        seconds.append(time.process_time() - start)
    tally = table.tally()
    priced = table.priced_rows
    rng = np.random.default_rng(seed)
    chosen = rng.choice(priced, min(CHECKED_ROWS, priced), replace=False)
    for number, place in enumerate(sorted(chosen.tolist())):
        told(1 + repeats + number // TOLD_ROWS, total, "recomputing rows")
        check_row(table, model, training, machine, place)
    return SearchRates(
        candidates=space.rows,
        by_verdict=tally.by_name(),
        priced=priced,
        axes=space.cardinalities(),
        factors_s=factors_s,
        exchanges_s=exchanges_s,
        stream_s=statistics.median(seconds),
        checked=len(chosen),
    )


def check_row(
    table: PlanTable, model: ModelGraph, training: Training, machine: Machine, place: int
) -> None:
    """Compare one row that divides with the scalar path."""
    block = table.priced(place)
    plan = table.plan(int(block.rows[0]))
    found = estimate(
        model, training, plan, machine.cluster(plan.workers), machine.books(plan.workers)
    )
    arena_bytes = sum(memory_bytes(model, training, plan).values())
    if (block.bound_ps[0], block.arena_bytes[0]) != (found.bound_ps, arena_bytes):
        raise CheckFailed(
            f"plan {plan.label!r}: the table has {block.bound_ps[0]} ps and"
            f" {block.arena_bytes[0]} B, the scalar path {found.bound_ps} ps and {arena_bytes} B;"
            " this is a bug of ours"
        )
