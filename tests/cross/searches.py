"""Searches, the plans that trying everything finds, and what a result claims held against them."""

import re
from functools import cache

import pytest

from hwprofiles.units import PS_PER_S
from planner.certificate import SearchResult
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.plan import Plan, Training
from planner.predict import predict
from planner.registers import plan_buckets
from planner.search import machine_space, search
from planner.space import Constraints
from tests.planner_cases import small_machine

PERCENT = 0.06
"""The statement rounds to tenths of a per cent."""


def simulated_ps(model: ModelGraph, training: Training, plan: Plan, machine: Machine) -> int:
    return predict(model, training, plan, machine)[2].makespan_ps


ONE_SLOT = {"input_slots": 1, "landing_slots": 1}
"""Fixed where every plan of a space is simulated, which would take long otherwise."""
ALL = 10**6
"""A budget that no space here needs."""


def brute_force(
    model: ModelGraph, training: Training, machine: Machine
) -> list[tuple[int, int, Plan]]:
    """Simulate every candidate that can be; (picoseconds, place in the space, plan), best first."""
    found = []
    space = machine_space(model, training, machine, Constraints(fixed=ONE_SLOT))
    for i, plan in enumerate(space.plans()):
        one = plan.overlap and len(plan_buckets(model, training, plan)) == 1  # the same program
        if training.batch % (plan.workers * plan.microbatch) == 0 and not one:
            found.append((simulated_ps(model, training, plan, machine), i, plan))
    return sorted(found, key=lambda row: row[:2])


def steps_ps(result: SearchResult) -> list[int]:
    return [round(c.prediction.step_s * PS_PER_S) for c in result.best]


def check_exact(result: SearchResult, everything: list[tuple[int, int, Plan]], top: int) -> None:
    """The kept plans have the best times there are, in order; the certificate tells the same."""
    assert steps_ps(result) == [ps for ps, _, _ in everything[:top]]
    by_plan = {plan: ps for ps, _, plan in everything}
    assert [by_plan[c.plan] for c in result.best] == steps_ps(result)
    certificate = result.certificate
    assert certificate.stopped_by == "proof"
    assert certificate.statement.startswith("none of the candidates can be faster")
    if len(everything) > 1:
        slower = everything[1][0] / everything[0][0] - 1
        assert certificate.runner_up_frac == pytest.approx(slower, rel=1e-12, abs=1e-15)


def check_sums(result: SearchResult) -> None:
    c = result.certificate
    assert c.candidates == result.table.space.rows == sum(c.by_verdict.values())
    fits = c.by_verdict["fits"]
    assert c.simulated + c.pruned_by_bound + c.pruned_by_dominance + c.not_reached == fits
    assert min(c.simulated, c.pruned_by_bound, c.pruned_by_dominance, c.not_reached) >= 0


def check_honest(result: SearchResult, everything: list[tuple[int, int, Plan]]) -> None:
    """Whatever the statement excludes is not so."""
    best_ps, statement = steps_ps(result)[0], result.certificate.statement
    truth_ps = everything[0][0]
    if "none of the candidates can be faster" in statement:
        assert truth_ps == best_ps
    else:
        promised = float(re.search(r"up to ([\d.]+) % faster", statement)[1])
        assert 100 * (1 - truth_ps / best_ps) <= promised + PERCENT
    if "the runner-up" in statement:
        assert round(best_ps * (1 + result.certificate.runner_up_frac)) == everything[1][0]


@cache
def perceptron() -> tuple[ModelGraph, Training, Machine, SearchResult]:
    model, training = load_model("mlp"), Training(batch=96)
    machine = small_machine(4)
    return model, training, machine, search(model, training, machine, top=3, budget=ALL)
