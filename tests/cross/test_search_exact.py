"""The search finds what trying everything finds, and its certificate says no more than is so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foreplan
from foreplan.machines import load_machine
from planner.jsonable import to_jsonable
from planner.model import load_model
from planner.plan import Training
from planner.search import search
from tests.cross.searches import (
    ALL,
    ONE_SLOT,
    brute_force,
    check_exact,
    check_honest,
    check_sums,
    perceptron,
    simulated_ps,
    steps_ps,
)
from tests.planner_cases import chain_models, machines, small_machine, tiny_convnet

pytestmark = pytest.mark.slow


@given(
    model=chain_models(),
    machine=machines(),
    batch=st.sampled_from([4, 6, 8]),
    top=st.integers(1, 5),
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_best_first_finds_what_trying_everything_finds(model, machine, batch, top):
    training = Training(batch=batch)
    result = search(model, training, machine, top=top, budget=ALL, fixed=ONE_SLOT)
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
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_spent_budget_is_told_and_the_statement_stays_honest(machine, budget, top, batch):
    model, training = tiny_convnet(), Training(batch=batch)
    result = search(model, training, machine, top=top, budget=budget, fixed=ONE_SLOT)
    check_sums(result)
    assert result.certificate.simulated <= budget
    everything = brute_force(model, training, machine)
    if result.certificate.stopped_by == "budget":
        assert result.certificate.simulated == budget
    else:
        check_exact(result, everything, top)
    check_honest(result, everything)


def test_no_pruned_row_would_have_been_kept():
    """200 rows that were pruned, by bound and as the program of another row, simulated again."""
    questions = [perceptron()]
    for model, cluster, batch in (
        (tiny_convnet(), small_machine(4, holds=True), 24),
        (load_model("lenet-5"), load_machine("v100-quad"), 16),
        (load_model("mlp"), load_machine("tpu-v3"), 32),
    ):
        training = Training(
            batch=batch, dtype="bfloat16" if cluster.name == "tpu-v3" else "float32"
        )
        found = search(model, training, cluster, top=3, budget=40)
        questions.append((model, training, cluster, found))
    rng = np.random.default_rng(0)
    for model, training, machine, result in questions:
        kth_ps = steps_ps(result)[-1]
        fits = [block.take(block.fits) for block in result.table.blocks()]
        pruned = [b.rows[~b.spare & (b.bound_ps >= kth_ps)] for b in fits]
        spare = [b.rows[b.spare] for b in fits]
        counted = result.certificate
        done = counted.simulated if counted.stopped_by == "proof" else 0
        assert sum(map(len, pruned)) >= counted.pruned_by_bound >= sum(map(len, pruned)) - done - 40
        assert sum(map(len, spare)) == counted.pruned_by_dominance
        for rows, count in ((pruned, 35), (spare, 15)):
            for row in rng.choice(np.concatenate(rows), count, replace=False).tolist():
                plan = result.table.plan(row)
                least_ps = kth_ps if rows is pruned else steps_ps(result)[0]
                assert simulated_ps(model, training, plan, machine) >= least_ps


def test_a_stop_counts_as_pruned_only_what_cannot_enter():
    model, training, machine, _ = perceptron()
    result = search(model, training, machine, top=3, budget=3)
    kth_ps = steps_ps(result)[-1]
    most = sum(int((b.fits & (b.bound_ps >= kth_ps)).sum()) for b in result.table.blocks())
    assert result.certificate.stopped_by == "budget"
    assert result.certificate.pruned_by_bound <= most


def test_the_exact_check_shows_a_lost_plan_a_wrong_order_and_a_wrong_count():
    model, training, machine = tiny_convnet(), Training(batch=8), small_machine(3)
    everything = brute_force(model, training, machine)
    result = search(model, training, machine, top=3, budget=ALL, fixed=ONE_SLOT)
    check_exact(result, everything, 3)
    lost = replace(result, best=result.best[1:])
    with pytest.raises(AssertionError):
        check_exact(lost, everything, 3)
    distinct = next(i for i, row in enumerate(everything) if row[0] > everything[0][0])
    wide = search(model, training, machine, top=distinct + 1, budget=ALL, fixed=ONE_SLOT)
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
        blind = search(model, training, machine, top=1, fixed={"workers": 1})
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
