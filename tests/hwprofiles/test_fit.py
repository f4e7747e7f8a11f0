"""Fits: known constants come back, a disturbed sample does not pull, few sizes still answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.calibration import OpSample
from hwprofiles.device import OpCurve
from hwprofiles.fit import fit_curves
from hwprofiles.grade import Grade

TRUE = {"overhead_s": 4e-6, "flop_per_s": 8e10, "bytes_per_s": 6e9}


def sample(flop, moved_bytes, median_s, op_class="c", signature=None):
    return OpSample(
        signature=signature or f"{op_class}({flop},{moved_bytes})",
        op_class=op_class,
        dtype="float32",
        flop=int(flop),
        moved_bytes=int(moved_bytes),
        median_s=median_s,
        iqr_s=0.0,
        repeats=3,
    )


def noisy(seed, count=40, sigma=0.05, true=TRUE):
    """Ops of both bounds (the ridge is at 13 FLOP/byte) with ``sigma`` relative noise."""
    rng = np.random.default_rng(seed)
    flop = 10 ** rng.uniform(3.5, 9.5, count)
    moved_bytes = flop / 10 ** rng.uniform(-0.5, 2.5, count)
    seconds = OpCurve(**true).time_s(flop, moved_bytes) * np.exp(rng.normal(0, sigma, count))
    return [sample(*row) for row in zip(flop, moved_bytes, seconds.tolist(), strict=True)]


def median_error(curve, samples):
    ratios = [curve.time_s(float(s.flop), float(s.moved_bytes)) / s.median_s for s in samples]
    return np.median(np.abs(np.log(ratios)))


@pytest.mark.parametrize("seed", range(5))
def test_known_constants_come_back_within_ten_per_cent(seed):
    curve = fit_curves(noisy(seed))["c/float32"]
    assert curve.grade is Grade.FITTED
    for name, value in TRUE.items():
        assert getattr(curve, name) == pytest.approx(value, rel=0.1)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), hidden=st.booleans())
def test_samples_say_whether_arithmetic_hides_traffic(seed, hidden):
    curve = fit_curves(noisy(seed, sigma=0.03, true={**TRUE, "hidden": hidden}))["c/float32"]
    assert curve.hidden is hidden
    for name, value in TRUE.items():
        assert getattr(curve, name) == pytest.approx(value, rel=0.15)


def test_a_few_sizes_say_nothing_of_that():
    few = noisy(0, count=5, sigma=0.0, true={**TRUE, "hidden": False})
    assert fit_curves(few)["c/float32"].hidden


def test_a_fit_predicts_unseen_ops_better_than_the_datasheet():
    curve = fit_curves(noisy(0))["c/float32"]
    datasheet = OpCurve(flop_per_s=2 * TRUE["flop_per_s"], bytes_per_s=1.5 * TRUE["bytes_per_s"])
    unseen = noisy(99)
    assert median_error(curve, unseen) < 0.06
    assert median_error(curve, unseen) < 0.2 * median_error(datasheet, unseen)


def test_one_disturbed_sample_does_not_pull_the_rest():
    calm = noisy(1, sigma=0.01)
    worst = calm[7]
    disturbed = sample(worst.flop, worst.moved_bytes, 20 * worst.median_s)
    curve = fit_curves([*calm[:7], disturbed, *calm[8:]])["c/float32"]
    for name, value in TRUE.items():
        assert getattr(curve, name) == pytest.approx(value, rel=0.1)


def test_the_order_of_samples_does_not_matter():
    samples = noisy(2)
    assert fit_curves(samples) == fit_curves(samples[::-1])


def test_classes_and_dtypes_are_fitted_apart():
    slow = {**TRUE, "flop_per_s": 1e9, "bytes_per_s": 1e8}
    other = [sample(s.flop, s.moved_bytes, s.median_s, "d") for s in noisy(3, true=slow)]
    curves = fit_curves([*noisy(3), *other])
    assert list(curves) == ["c/float32", "d/float32"]
    assert curves["d/float32"].bytes_per_s == pytest.approx(1e8, rel=0.1)
    assert curves["c/float32"].bytes_per_s == pytest.approx(6e9, rel=0.1)


def test_a_class_that_only_moves_bytes_gets_its_overhead_and_bandwidth():
    sizes = [2**k for k in range(6, 26)]
    curve = fit_curves([sample(0, b, 2e-6 + b / 5e9) for b in sizes])["c/float32"]
    assert curve.bytes_per_s == pytest.approx(5e9, rel=0.02)
    assert curve.overhead_s == pytest.approx(2e-6, rel=0.02)
    assert np.isfinite(curve.flop_per_s)


def test_a_single_size_is_met_and_scales_with_work():
    curve = fit_curves([sample(1000, 100, 1e-3)])["c/float32"]
    assert curve.time_s(1000.0, 100.0) == pytest.approx(1e-3)
    assert curve.time_s(2000.0, 200.0) == pytest.approx(2e-3)
    assert curve.source == "rates of 1 samples of 1 sizes, median error 0.0 %"


def test_two_sizes_give_the_line_through_them():
    curve = fit_curves([sample(0, 1000, 3e-6), sample(0, 3000, 5e-6)])["c/float32"]
    assert curve.overhead_s == pytest.approx(2e-6)
    assert curve.time_s(0.0, 5000.0) == pytest.approx(7e-6)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 10**8), st.floats(1e-7, 10.0)),
        min_size=1,
        max_size=8,
    )
)
def test_any_samples_give_a_curve_with_positive_finite_constants(rows):
    curve = fit_curves([sample(*row, signature=str(i)) for i, row in enumerate(rows)])["c/float32"]
    assert curve.overhead_s >= 0
    assert 0 < curve.flop_per_s < np.inf
    assert 0 < curve.bytes_per_s < np.inf


def test_the_source_says_how_many_samples_and_how_well():
    assert fit_curves(noisy(0))["c/float32"].source.startswith(
        "fitted to 40 samples of 40 sizes, m"
    )


def test_nothing_measured_is_nothing_fitted():
    assert fit_curves([]) == {}
