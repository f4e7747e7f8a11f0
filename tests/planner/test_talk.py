"""What the talk shows: orders as physics has them, and the same numbers every time."""

import doctest

import pytest

from planner import staleness as staleness_module
from planner.dispatching import KINDS, Case, dispatching
from planner.memory_policies import (
    DEADLOCK,
    DYNAMIC,
    EXHAUSTED,
    FINISHED,
    LEAN,
    STATIC,
    WAITING,
    Job,
    memory_policies,
)
from planner.staleness import cost_of_delay, question, staleness

CPU, *_, TPU = KINDS
DISPATCH_S = (0.0, 1e-5, 1e-3)


@pytest.fixture(scope="module")
def cases():
    return dispatching((CPU, TPU), (32, 8), DISPATCH_S, model="lenet-5", samples=32)


def test_more_dispatch_cost_is_never_faster_and_actors_are_fastest(cases):
    for case in cases:
        assert list(case.central_s) == sorted(case.central_s)
        assert case.actors_s <= case.central_s[0]
        assert case.actors_s < case.stages_s


def test_a_dear_scheduler_is_the_bottleneck_and_bounds_the_step(cases):
    for case in cases:
        assert case.bottlenecks[-1] == "scheduler"
        assert case.central_s[-1] >= case.tasks * DISPATCH_S[-1]


def slow_down(case: Case) -> float:
    return case.central_s[1] / case.actors_s


def test_small_tasks_and_fast_devices_suffer_most(cases):
    by = {(case.kind, case.microbatch): slow_down(case) for case in cases}
    assert all(by[kind.label, 8] > by[kind.label, 32] for kind in (CPU, TPU))
    assert all(by[TPU.label, size] > by[CPU.label, size] for size in (8, 32))


@pytest.fixture(scope="module")
def asked():
    return question("lenet-5", workers=6)


@pytest.fixture(scope="module")
def runs(asked):
    return staleness(asked, (0.0, 2.0), (1, None), (100, 10**9), steps=30)


def pick(runs, spread):
    return {run.policy: run for run in runs if run.spread == spread}


def test_among_stragglers_who_waits_less_computes_more(runs):
    late = pick(runs, 2.0)
    order = ("synchronous", "stale by 1", "asynchronous")
    rates = [late[policy].samples_per_s for policy in order]
    assert rates == sorted(rates)
    waited = [late[policy].waited_frac for policy in order]
    assert waited == sorted(waited, reverse=True)
    assert waited[-1] == 0


def test_what_a_looser_bound_wins_in_time_it_pays_in_delay(runs):
    late = pick(runs, 2.0)
    assert late["synchronous"].mean_delay == 0
    assert late["stale by 1"].mean_delay < late["asynchronous"].mean_delay


def test_with_noise_that_rules_only_throughput_counts(runs):
    for run in runs:
        assert run.wanted_s[1] == pytest.approx(1e6 / run.samples_per_s, rel=1e-4)


def test_a_stale_gradient_is_worth_less_and_a_step_of_many_workers_too():
    assert cost_of_delay(32, 5, 1000) > cost_of_delay(32, 0, 1000)
    assert cost_of_delay(16 * 32, 0, 1000) == cost_of_delay(32, 15, 1000)


def test_seeds_decide(asked):
    one, again, other = (
        staleness(asked, (1.0,), (None,), (100,), steps=10, seed=seed) for seed in (0, 0, 1)
    )
    assert one == again != other


@pytest.fixture(scope="module")
def memory():
    job = Job(model="lenet-5", workers=1, microbatch=8, microbatches=24, slots=2)
    (found,) = memory_policies([job], (0.5, 1.5, 3.0, 6.0))
    return found


def results(memory, policy):
    return [outcome.result for outcome in memory.outcomes if outcome.policy == policy]


def test_static_plans_waste_and_one_slot_takes_less(memory):
    """One slot may take less than is alive with two: fewer microbatches are under way."""
    assert memory.live_peak_bytes < memory.arena_bytes
    assert memory.lean_bytes < memory.arena_bytes
    assert memory.live_peak_bytes <= memory.dynamic_bytes


def test_static_is_known_before_and_dynamic_runs_out_or_hangs(memory):
    for outcome in memory.outcomes:
        arena = {STATIC: memory.arena_bytes, LEAN: memory.lean_bytes}.get(outcome.policy)
        if arena is not None:
            assert (outcome.result == FINISHED) == (outcome.memory_bytes >= arena)
        if outcome.policy == DYNAMIC:
            assert (outcome.result == FINISHED) == (outcome.memory_bytes >= memory.dynamic_bytes)
    assert results(memory, DYNAMIC)[0] == EXHAUSTED
    assert DEADLOCK in results(memory, WAITING)
    assert results(memory, WAITING)[-1] == FINISHED


def test_there_is_memory_with_which_only_the_static_plan_finishes(memory):
    """Its tasks run no further ahead than their credits let them."""
    both = zip(results(memory, LEAN), results(memory, WAITING), strict=True)
    assert (FINISHED, DEADLOCK) in both


def test_examples_in_docstrings_are_so():
    assert doctest.testmod(staleness_module).failed == 0
