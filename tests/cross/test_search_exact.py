"""The search finds what trying everything finds, and its certificate says no more than is so."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foreplan
from hwprofiles.errors import NothingFits
from hwprofiles.units import PS_PER_S
from planner.jsonable import to_jsonable
from planner.layout import memory_bytes
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.plan import Plan, Training
from planner.predict import predict
from planner.search import SearchResult, candidates, divisors, search
from tests.planner_cases import chain_models, machines, small_machine, tiny_convnet

pytestmark = pytest.mark.slow

PERCENT = 0.06
"""The statement rounds to tenths of a per cent."""


def simulated_ps(model: ModelGraph, training: Training, plan: Plan, machine: Machine) -> int:
    return predict(model, training, plan, machine)[2].makespan_ps


def brute_force(
    model: ModelGraph, training: Training, machine: Machine
) -> list[tuple[int, int, Plan]]:
    """Simulate every candidate that can be; (picoseconds, place in the space, plan), best first."""
    found = []
    for i, plan in enumerate(candidates(model, training, machine.devices, {})):
        if training.batch % (plan.workers * plan.microbatch) == 0:
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
    assert c.candidates == len(result.table.plans) == sum(c.by_verdict.values())
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


@given(
    model=chain_models(),
    machine=machines(),
    batch=st.sampled_from([4, 6, 8]),
    top=st.integers(1, 5),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_best_first_finds_what_trying_everything_finds(model, machine, batch, top):
    training = Training(batch=batch)
    result = search(model, training, machine, top=top)
    everything = brute_force(model, training, machine)
    check_exact(result, everything, top)
    check_sums(result)
    check_honest(result, everything)


@given(
    machine=machines(),
    budget=st.integers(1, 12),
    top=st.integers(1, 5),
    batch=st.sampled_from([8, 12]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_spent_budget_is_told_and_the_statement_stays_honest(machine, budget, top, batch):
    model, training = tiny_convnet(), Training(batch=batch)
    result = search(model, training, machine, top=top, budget=budget)
    check_sums(result)
    assert result.certificate.simulated <= budget
    everything = brute_force(model, training, machine)
    if result.certificate.stopped_by == "budget":
        assert result.certificate.simulated == budget
    else:
        check_exact(result, everything, top)
    check_honest(result, everything)


@cache
def perceptron() -> tuple[ModelGraph, Training, Machine, SearchResult]:
    model, training = load_model("mlp"), Training(batch=96)
    machine = small_machine(4)
    return model, training, machine, search(model, training, machine, top=3)


def test_no_pruned_row_would_have_been_kept():
    model, training, machine, result = perceptron()
    table, kth_ps = result.table, steps_ps(result)[-1]
    assert result.certificate.pruned_by_bound >= 50
    pruned = [i for i in table.feasible.tolist() if table.closed_form_ps[i] >= kth_ps]
    assert len(pruned) == result.certificate.pruned_by_bound
    for i in np.random.default_rng(0).choice(pruned, 50, replace=False):
        assert simulated_ps(model, training, table.plans[i], machine) >= kth_ps


def test_a_stop_counts_as_pruned_only_what_cannot_enter():
    model, training, machine, _ = perceptron()
    result = search(model, training, machine, top=3, budget=3)
    kth_ps = steps_ps(result)[-1]
    closed = result.table.closed_form_ps[result.table.feasible]
    assert result.certificate.stopped_by == "budget"
    assert result.certificate.pruned_by_bound <= int((closed >= kth_ps).sum())


def test_the_exact_check_shows_a_lost_plan_a_wrong_order_and_a_wrong_count():
    model, training, machine = tiny_convnet(), Training(batch=8), small_machine(3)
    everything = brute_force(model, training, machine)
    result = search(model, training, machine, top=3)
    check_exact(result, everything, 3)
    lost = replace(result, best=result.best[1:])
    with pytest.raises(AssertionError):
        check_exact(lost, everything, 3)
    distinct = next(i for i, row in enumerate(everything) if row[0] > everything[0][0])
    wide = search(model, training, machine, top=distinct + 1)
    with pytest.raises(AssertionError):
        check_exact(replace(wide, best=wide.best[::-1]), everything, distinct + 1)
    miscounted = replace(result.certificate, simulated=result.certificate.simulated + 1)
    with pytest.raises(AssertionError):
        check_sums(replace(result, certificate=miscounted))


def test_a_search_that_prunes_too_early_is_shown():
    """Closed forms above the simulation lose the best plan; the exact check sees it."""
    model, training, machine = tiny_convnet(), Training(batch=8), small_machine(3)
    everything = brute_force(model, training, machine)
    other = next(plan for ps, _, plan in everything if ps > everything[0][0])
    blind = search(model, training, machine, top=1, fixed={"microbatch": other.microbatch})
    if steps_ps(blind)[0] == everything[0][0]:
        blind = search(model, training, machine, top=1, fixed={"workers": other.workers})
    with pytest.raises(AssertionError):
        check_exact(blind, everything, 1)


# Equal inputs, equal bytes


def plan_file_text(**options: object) -> str:
    found = foreplan.plan("lenet-5", "v100-quad", Training(batch=32), **options)
    return json.dumps(to_jsonable(found))


def test_equal_inputs_give_equal_bytes():
    assert plan_file_text(top=2) == plan_file_text(top=2)
    assert plan_file_text(top=2, budget=3) == plan_file_text(top=2, budget=3)
    assert plan_file_text(top=2) != plan_file_text(top=3)


# Interrupt


class Stopped:
    """A progress callback that a person interrupts."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, []

    def __call__(self, done: int, most: int, best_s: float) -> None:
        self.seen.append((done, most, best_s))
        if done == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 2, 5])
def test_an_interrupt_keeps_the_best_so_far(after):
    model, training, machine, _ = perceptron()
    stopped = Stopped(after)
    result = search(model, training, machine, top=10, progress=stopped)
    assert result.certificate.stopped_by == "interrupt"
    assert result.certificate.simulated == len(result.best) == after
    assert steps_ps(result) == sorted(steps_ps(result))
    assert stopped.seen[-1][2] == result.best[0].prediction.step_s
    check_sums(result)


def test_progress_counts_up_and_its_best_never_rises():
    model, training, machine, result = perceptron()
    seen = Stopped(-1)
    search(model, training, machine, top=3, progress=seen)
    assert [done for done, _, _ in seen.seen] == list(range(1, result.certificate.simulated + 1))
    best = [best_s for _, _, best_s in seen.seen]
    assert best == sorted(best, reverse=True)
    assert all(done <= most for done, most, _ in seen.seen)


# The space


@pytest.mark.parametrize(
    "fixed",
    [
        {"workers": 2},
        {"algorithm": "star"},
        {"overlap": True, "workers": 3},
        {"microbatch": 4},
        {"workers": 1},
    ],
    ids=str,
)
def test_fixed_fields_are_respected(fixed):
    result = search(tiny_convnet(), Training(batch=12), small_machine(3), fixed=fixed, top=50)
    assert result.best
    for plan in result.table.plans:
        assert {key: getattr(plan, key) for key in fixed} == fixed
    every = candidates(tiny_convnet(), Training(batch=12), 3, {})
    agree = [p for p in every if all(getattr(p, k) == v for k, v in fixed.items())]
    assert list(result.table.plans) == agree


@given(model=chain_models(), batch=st.integers(1, 30), devices=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_candidates_are_distinct_and_have_distinct_labels(model, batch, devices):
    found = candidates(model, Training(batch=batch), devices, {})
    assert len(set(found)) == len(found)
    assert {p.workers for p in found} == set(range(1, devices + 1))
    large = [p for p in found if p.bucket_bytes >= 1024]
    assert len({p.label for p in large}) == len(large)


def test_divisors_of_twelve():
    assert divisors(12) == [1, 2, 3, 4, 6, 12]


def test_verdicts_are_counted():
    """Batch 6: of microbatches 1, 2, 3 and 6 one worker can take all, two can take 1 and 3."""
    result = search(tiny_convnet(), Training(batch=6), small_machine(2))
    pairs = len(candidates(tiny_convnet(), Training(batch=6), 2, {"workers": 2})) // 4
    assert result.certificate.by_verdict == {
        "fits": 4 + 2 * pairs,
        "does_not_divide": 2 * pairs,
        "splits_norm_group": 0,
        "too_many_workers": 0,
        "out_of_memory": 0,
    }


def test_norm_group_splits_are_counted():
    model = replace(tiny_convnet(), norm_group=2)
    result = search(model, Training(batch=4), small_machine(1))
    assert result.certificate.by_verdict["splits_norm_group"] == 1  # microbatch 1 of 1, 2, 4
    assert result.certificate.by_verdict["fits"] == 2


def test_what_a_tiny_device_cannot_hold_is_counted():
    model, training = tiny_convnet(), Training(batch=8)
    plans = candidates(model, training, 2, {})
    divide = [p for p in plans if 8 % (p.workers * p.microbatch) == 0]
    sizes = [sum(memory_bytes(model, training, p).values()) for p in divide]
    middle = sorted(sizes)[len(sizes) // 2]
    result = search(model, training, small_machine(2, memory_bytes=middle), top=100)
    assert result.certificate.by_verdict["out_of_memory"] == sum(s > middle for s in sizes) > 0
    for kept in result.best:
        assert max(kept.prediction.arena_bytes) <= middle
    check_sums(result)


def test_nothing_fits_where_the_device_is_too_small_and_the_message_counts_why():
    with pytest.raises(NothingFits, match=r"none of 3 candidates .*3 the static arena is larger"):
        search(tiny_convnet(), Training(batch=4), small_machine(1, memory_bytes=100))


def test_nothing_fits_where_fixed_fields_exclude_each_other():
    message = "none of 0 candidates can be .the constraints leave none"
    with pytest.raises(NothingFits, match=message):
        search(
            tiny_convnet(),
            Training(batch=4),
            small_machine(2),
            fixed={"workers": 1, "algorithm": "ring"},
        )


def test_nothing_fits_where_no_batch_divides():
    with pytest.raises(NothingFits, match="the batch is not workers x microbatch"):
        search(tiny_convnet(), Training(batch=5), small_machine(2), fixed={"workers": 2})
