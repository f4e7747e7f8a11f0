"""Curves of a device: known rates come back, and what a class leaves open is the device's."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.device import Device
from hwprofiles.devicefit import fit_device
from hwprofiles.fit import fit_curves
from hwprofiles.grade import Grade
from tests.hwprofiles.test_fit import sample

START_S, MEMORY, CONV, LINEAR = 2e-6, 4e12, 6e14, 5e14
DEVICE = Device(
    name="d",
    kind="gpu",
    memory_bytes=1 << 37,
    memory_bytes_per_s=4.8e12,
    peak_flop_per_s={"float32": 9e14},
)
COPIES = [sample(0, b, START_S + b / MEMORY, "copy_forward") for b in (1000, 10**9, 3 * 10**9)]
TINY = sample(0, 0, START_S, "copy_forward")


def product(flop, moved_bytes, rate, op_class):
    seconds = START_S + max(flop / rate, moved_bytes / MEMORY)
    return sample(flop, moved_bytes, seconds, op_class)


LARGE = [product(flop, 10**7, CONV, "conv2d_forward") for flop in (10**11, 3 * 10**11, 10**12)]
THIN = [product(10**9, moved, LINEAR, "linear_forward") for moved in (10**8, 2 * 10**8)]


def fitted(*samples, **works):
    """Curves of ``DEVICE``; ``works`` are classes of work by op class, else by its name."""
    usual = {"conv2d_forward": "conv_3x3", "linear_forward": "linear"} | works
    work_classes = {s.signature: usual.get(s.op_class, "memory") for s in samples}
    return fit_device(DEVICE, samples, work_classes)


def time_s(device, op_class, work_class, flop, moved_bytes):
    return device.curve(op_class, "float32", work_class=work_class).time_s(flop, moved_bytes)


@settings(deadline=None, max_examples=30)
@given(
    start_s=st.floats(1e-6, 1e-5),
    memory=st.floats(1e11, 1e13),
    conv=st.floats(1e12, 1e15),
    data=st.randoms(use_true_random=False),
)
def test_ops_of_the_law_are_predicted_to_a_per_cent_in_any_order(start_s, memory, conv, data):
    def op(flop, moved_bytes, op_class):
        seconds = start_s + max(flop / conv, moved_bytes / memory)
        return sample(flop, moved_bytes, seconds, op_class)

    busy_s = [1e-3, 3e-3, 1e-2]
    ops = [op(0, int(s * memory), "copy_forward") for s in (0.0, *busy_s)]
    ops += [op(int(s * conv), int(1e-4 * memory), "conv2d_forward") for s in busy_s]
    ordered = fitted(*ops)
    assert fitted(*data.sample(ops, len(ops))) == ordered
    for one in (*ops, op(0, int(memory), "copy_forward"), op(int(conv), 1, "conv2d_forward")):
        work = "conv_3x3" if one.flop else "memory"
        found = time_s(ordered, one.op_class, work, float(one.flop), float(one.moved_bytes))
        assert found == pytest.approx(one.median_s, rel=0.03)


def test_a_product_that_waits_for_memory_is_not_priced_by_a_slow_first_layer():
    """Of which its own class knows nothing but that it is slow for its bytes."""
    first = sample(10**10, 2 * 10**8, 1e-3, "conv2d_forward")
    ops = [*LARGE, first, *COPIES, TINY]
    true_s = START_S + 10**9 / MEMORY
    found_s = time_s(fitted(*ops), "conv2d_forward", "linear", 1e9, 1e9)
    assert found_s == pytest.approx(true_s, rel=0.02)
    alone = fit_curves(ops)["conv2d_forward/float32"].time_s(1e9, 1e9)
    assert alone > 2 * true_s, "the law that asks a class alone is no longer fooled: simplify"


def test_rates_that_a_class_does_not_show_are_the_devices():
    device = fitted(*LARGE, *THIN, *COPIES, TINY)
    linear = device.curves["linear_forward/float32"]
    assert linear.flop_per_s == pytest.approx(CONV, rel=0.02)
    assert linear.bytes_per_s == pytest.approx(MEMORY, rel=0.01)
    small = sample(0, 10**5, 8e-6, "softmax")
    device = fitted(small, *COPIES, TINY)
    assert time_s(device, "softmax", "memory", 0.0, 1e5) == pytest.approx(8e-6)
    assert time_s(device, "softmax", "memory", 0.0, 1e9) == pytest.approx(258e-6, rel=0.01)


def test_a_class_that_was_never_measured_is_priced_as_its_work():
    device = fitted(*LARGE, *COPIES, TINY)
    assert time_s(device, "lrn_forward", "memory", 0.0, 1e9) == pytest.approx(252e-6, rel=0.01)
    assert device.curve("x", "float32", work_class="conv_3x3").source.startswith("conv_3x3: ")
    assert device.curve("x", "float32", work_class="attention").grade is Grade.DATASHEET


def test_many_small_products_neither_pull_others_nor_are_priced_as_they_are():
    slow = [replace(s, signature=f"g{s.signature}", median_s=9 * s.median_s) for s in LARGE]
    works = {s.signature: "conv_grouped" for s in slow}
    works |= {s.signature: "conv_3x3" for s in LARGE} | {s.signature: "memory" for s in COPIES}
    device = fit_device(DEVICE, [*LARGE, *slow, *COPIES], works)
    of_class, of_work = (
        replace(device.curve("conv2d_forward", "float32", work_class=work), source="")
        for work in ("memory", "conv_3x3")
    )
    assert of_class == of_work
    rates = [
        device.curve("conv2d_forward", "float32", work_class=work).flop_per_s
        for work in ("conv_3x3", "conv_grouped", "conv_depthwise")
    ]
    assert rates[0] == pytest.approx(CONV, rel=0.02)
    assert rates[1] == pytest.approx(CONV / 9, rel=0.02)
    assert rates[2] == 9e14, "never measured: as the device was before"


def test_a_class_is_told_apart_by_its_work_where_that_was_measured():
    slow = [replace(s, signature=f"f{s.signature}", median_s=9 * s.median_s) for s in LARGE]
    works = {s.signature: "conv_large" for s in slow}
    works |= {s.signature: "conv_3x3" for s in LARGE} | {s.signature: "memory" for s in COPIES}
    device = fit_device(DEVICE, [*LARGE, *slow, *COPIES], works)
    rates = [
        device.curve("conv2d_forward", "float32", work_class=work).flop_per_s
        for work in ("conv_3x3", "conv_large", "linear")
    ]
    assert rates[:2] == pytest.approx([CONV, CONV / 9], rel=0.02)
    assert rates[2] == pytest.approx(CONV / 3, rel=0.02), "never measured: what the class shows"


def test_nothing_measured_is_nothing_fitted():
    assert fit_device(DEVICE, [], {}) == DEVICE
