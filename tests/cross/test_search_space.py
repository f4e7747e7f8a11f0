"""The space of a search: what is fixed, what is told apart, what cannot be."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import NothingFits
from planner.layout import memory_bytes
from planner.plan import Training, Verdict
from planner.search import machine_space, search
from planner.shapes import offered
from planner.space import SLOTS, divisors
from tests.cross.searches import ONE_SLOT, check_sums
from tests.planner_cases import candidates, chain_models, small_machine, tiny_convnet

pytestmark = pytest.mark.slow


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
    plans = list(result.table.space.plans())
    for plan in plans:
        assert {key: getattr(plan, key) for key in fixed} == fixed
    cluster = small_machine(3).cluster(3)
    rings = partial(offered, cluster)
    every = candidates(tiny_convnet(), Training(batch=12), 3, {}, rings)
    assert "multi_ring:2" in {plan.algorithm for plan in every}
    agree = [p for p in every if all(getattr(p, k) == v for k, v in fixed.items())]
    assert plans == agree


@given(model=chain_models(), batch=st.integers(1, 30), devices=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_candidates_are_distinct_and_have_distinct_labels(model, batch, devices):
    found = candidates(model, Training(batch=batch), devices, {})
    assert len(set(found)) == len(found)
    assert {p.workers for p in found} == set(range(1, devices + 1))
    large = [p for p in found if p.bucket_bytes >= 1024]
    assert len({p.label for p in large}) == len(large)


@given(batch=st.integers(1, 30), devices=st.integers(1, 4), names=st.sets(st.sampled_from(SLOTS)))
@settings(max_examples=20, deadline=None)
def test_rows_alike_but_for_some_axes_have_one_first_row(batch, devices, names):
    space = machine_space(tiny_convnet(), Training(batch=batch), small_machine(devices))
    plans, firsts = list(space.plans()), {}
    for row, plan in enumerate(plans):
        firsts.setdefault(replace(plan, **dict.fromkeys(names, 1)), row)
    expected = [firsts[replace(plan, **dict.fromkeys(names, 1))] for plan in plans]
    assert space.first_alike(np.arange(len(plans)), sorted(names)).tolist() == expected


def test_divisors_of_twelve():
    assert divisors(12) == [1, 2, 3, 4, 6, 12]


def test_verdicts_are_counted():
    """Batch 6: of microbatches 1, 2, 3 and 6 one worker can take all, two can take 1 and 3."""
    result = search(tiny_convnet(), Training(batch=6), small_machine(2), fixed=ONE_SLOT)
    two = {"workers": 2, **ONE_SLOT}
    pairs = len(candidates(tiny_convnet(), Training(batch=6), 2, two)) // 4
    counts = dict.fromkeys((v.name.lower() for v in Verdict), 0)
    assert result.certificate.by_verdict == counts | {
        "fits": 4 + 2 * pairs,
        "does_not_divide": 2 * pairs,
    }


def test_norm_group_splits_are_counted():
    model = replace(tiny_convnet(), norm_group=2)
    result = search(model, Training(batch=4), small_machine(1), fixed=ONE_SLOT)
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
    with pytest.raises(NothingFits, match=r"none of 6 candidates .*6 the static arena is larger"):
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
