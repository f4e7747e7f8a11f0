"""Plans: buckets cover the gradient once, backward; verdicts, labels and rounds."""

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.model import ModelGraph, load_model
from planner.plan import Bucket, Verdict, buckets, parameter_offsets, verdict
from planner.registers import plan_buckets
from tests.planner_cases import case, models, small_machine, tiny_convnet


def check_buckets(model: ModelGraph, found: tuple[Bucket, ...], least: int) -> None:
    """Buckets are neighbours from 0 to the last gradient, whole layers in backward order."""
    assert found[0].first == 0
    assert found[-1].end == model.parameter_count
    assert all(a.end == b.first for a, b in pairwise(found))
    layers = [layer for bucket in found for layer in bucket.layers]
    trained = [i for i, layer in enumerate(model.layers) if layer.parameters]
    assert layers == trained[::-1]
    for bucket in found:
        assert bucket.elements == sum(model.layers[i].parameter_count for i in bucket.layers) > 0
    for bucket in found[:-1]:
        without_last = bucket.elements - model.layers[bucket.layers[-1]].parameter_count
        assert bucket.elements >= least > without_last, "a bucket closes once it is large enough"


@given(model=models(), least=st.integers(1, 400_000))
@settings(max_examples=200, deadline=None)
def test_buckets_cover_the_gradient_once_in_backward_order(model, least):
    check_buckets(model, buckets(model, least), least)


def test_the_check_of_buckets_shows_a_gap_an_overlap_and_a_wrong_order():
    model = tiny_convnet()
    first, second, third = buckets(model, 1)
    for wrong in (
        (first, third),
        (first, replace(second, end=second.end + 1), third),
        (replace(first, layers=second.layers), replace(second, layers=first.layers), third),
    ):
        with pytest.raises(AssertionError):
            check_buckets(model, wrong, 1)


@given(model=models())
@settings(max_examples=60, deadline=None)
def test_offsets_put_the_last_layer_first_and_leave_no_gap(model):
    at = 0
    for i, offset in parameter_offsets(model).items():
        assert offset == at
        at += model.layers[i].parameter_count
    assert at == model.parameter_count
    assert list(parameter_offsets(model)) == sorted(parameter_offsets(model), reverse=True)


def test_buckets_of_lenet_5_of_64_kib():
    """Backward: output 850, f6 10,164, c5 48,120, c3 2,416, c1 156; 64 KiB are 16,384 floats."""
    found = buckets(load_model("lenet-5"), 16_384)
    assert [(b.first, b.end) for b in found] == [(0, 59_134), (59_134, 61_706)]
    assert [b.layers for b in found] == [(11, 9, 7), (3, 0)]


def test_a_bucket_of_just_the_size_closes():
    output = 5 * 3 + 3
    assert buckets(tiny_convnet(), output)[0].elements == output
    assert buckets(tiny_convnet(), output + 1)[0].elements > output


def test_one_worker_has_one_bucket_and_a_tiny_size_gives_one_a_layer():
    c = case(bucket_bytes=1)
    assert len(plan_buckets(c.model, c.training, c.plan)) == 3
    alone = replace(c.plan, workers=1)
    assert len(plan_buckets(c.model, c.training, alone)) == 1


def test_bucket_size_counts_bytes_of_the_training_dtype():
    c = case(bucket_bytes=8 * 20)
    double = replace(c.training, dtype="float64")
    wide = plan_buckets(c.model, double, c.plan)
    assert plan_buckets(c.model, c.training, c.plan) == buckets(c.model, 40)
    assert wide == buckets(c.model, 20)


@given(
    workers=st.integers(1, 6),
    microbatch=st.integers(1, 9),
    batch=st.integers(1, 60),
    group=st.integers(1, 4),
)
def test_a_plan_that_fits_does_the_whole_batch_in_whole_rounds(workers, microbatch, batch, group):
    c = case(workers=workers, microbatch=microbatch, batch=batch, machine=small_machine(4))
    model = replace(c.model, norm_group=group)
    found = verdict(model, c.training, c.plan, c.cluster)
    rounds = c.plan.microbatches(batch)
    fits = workers <= 4 and rounds * workers * microbatch == batch and microbatch / group % 1 == 0
    assert (found is Verdict.FITS) == fits
    assert found is not Verdict.OUT_OF_MEMORY
    assert rounds <= ceil(batch / (workers * microbatch))


def test_the_first_reason_counts():
    c = case(workers=3, microbatch=5, batch=7, machine=small_machine(2))
    model = replace(c.model, norm_group=2)
    assert verdict(model, c.training, c.plan, c.cluster) is Verdict.TOO_MANY_WORKERS
    two = replace(c.plan, workers=2)
    assert verdict(model, c.training, two, c.cluster) is Verdict.DOES_NOT_DIVIDE
    whole = replace(c.training, batch=10)
    assert verdict(model, whole, two, c.cluster) is Verdict.SPLITS_NORM_GROUP
    assert verdict(c.model, whole, two, c.cluster) is Verdict.FITS


def test_a_label_says_what_a_person_chooses():
    plan = case(workers=3, microbatch=4, algorithm="star", bucket_bytes=65_536, overlap=True).plan
    assert plan.label == "dp3-mb4-star-64KiB-overlap"
    assert replace(plan, overlap=False).label == "dp3-mb4-star-64KiB"
    assert case(workers=1, microbatch=4).plan.label == "dp1-mb4"
