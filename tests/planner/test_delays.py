"""What a rank adds while it computes puts off its later gradients, and a bound counts it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.device import OpCurve
from planner import cost
from planner.cost import estimate
from planner.delays import delayed_ps
from sim.heap_engine import simulate
from tests.planner_cases import Case, case, cluster_of, device, link, machine_of
from tests.shipped import shipped


def least_ps(before, after, sends, drain, bucket: int) -> int:
    """Return what is left of one lane, whichever earlier buckets are added up."""
    found = []
    for over in product((True, False), repeat=bucket):
        spent = sum(before[i] if done else after[i] for i, done in enumerate(over))
        open_still = [i for i, done in enumerate(over) if not done and after[i]]
        last = min(drain[i] for i in (*open_still, *range(bucket, len(sends))))
        found.append(spent + sum(sends[bucket:]) + last)
    return min(found)


@given(rows=st.lists(st.tuples(*[st.integers(1, 9)] * 4), min_size=1, max_size=5))
def test_no_choice_of_what_is_over_leaves_less(rows):
    before, after, sends, drain = np.array(rows).T
    told = delayed_ps(np.array(rows).T[:, None])
    least = [least_ps(before, after, sends, drain, bucket) for bucket in range(len(rows))]
    assert (told <= least).all()
    assert told[0] == sends.sum() + drain.min()
    assert (told >= np.array(least) - drain.max() + drain.min()).all()


def overlapped(algorithm: str) -> Case:
    """A step whose backward passes last longer than its slow exchanges."""
    slow = OpCurve(flop_per_s=3e8, bytes_per_s=1e12)
    gpu = device(curves={"add/float32": slow})
    machine = machine_of(cluster_of(gpu, 4, "mesh", link(2e9, 1e-4)))
    return case(
        shipped("lenet-5"),
        machine=machine,
        batch=1024,
        workers=4,
        microbatch=256,
        algorithm=algorithm,
        bucket_bytes=4096,
        overlap=True,
    )


@pytest.mark.parametrize("algorithm", ["ring", "halving_doubling"])
def test_a_bound_counts_what_was_added_during_the_passes(algorithm, monkeypatch):
    c = overlapped(algorithm)
    told = estimate(c.model, c.training, c.plan, c.cluster, c.books)
    simulated_ps = simulate(c.lower().graph).makespan_ps
    assert told.bound_ps <= simulated_ps
    monkeypatch.setattr(cost, "are_unbroken", lambda *asked: False)
    without = estimate(c.model, c.training, c.plan, c.cluster, c.books)
    assert told.bound_ps > without.bound_ps
