"""Op costs: measured before fitted before datasheet, and the launch is always paid."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from hwprofiles.calibration import OpSample
from hwprofiles.costs import CostBook
from hwprofiles.device import Device, OpCurve
from hwprofiles.errors import ProfileError
from hwprofiles.grade import Grade

LAUNCH_S = 1e-5
DEVICE = Device(
    name="d",
    kind="cpu",
    memory_bytes=1,
    memory_bytes_per_s=1e9,
    peak_flop_per_s={"float32": 1e9},
    launch_overhead_s=LAUNCH_S,
    source="sheet",
    curves={
        "fit/float32": OpCurve(flop_per_s=5e8, bytes_per_s=1e9, grade=Grade.FITTED, source="fit")
    },
)
SAMPLE = OpSample(
    signature="op",
    op_class="fit",
    dtype="float32",
    flop=1,
    moved_bytes=1,
    median_s=0.25,
    iqr_s=0.0,
    repeats=9,
)


def op(
    signature,
    op_class,
    dtype,
    flop,
    moved_bytes,
    work_class="memory",
    channels=0,
    product=None,
    chain=None,
):
    """What a price depends on."""
    return SimpleNamespace(**locals())


BOOK = CostBook(device=DEVICE, ops={"op": SAMPLE})


@pytest.mark.parametrize("name", ["op", "another"])
@pytest.mark.parametrize("op_class", ["fit", "peak"])
def test_the_grade_is_that_of_the_cost(name, op_class):
    some = op(name, op_class, "float32", 10, 10)
    assert BOOK.grade(some) == BOOK.cost(some).grade


def test_a_measured_op_costs_its_median_whatever_its_work():
    cost = BOOK.cost(op("op", "fit", "float32", 10**12, 0))
    assert (cost.seconds, cost.grade) == (LAUNCH_S + 0.25, Grade.MEASURED)
    assert cost.source == "median of 9 repeats here"


def test_an_op_measured_in_another_context_is_fitted():
    book = CostBook(device=DEVICE, ops={"op": replace(SAMPLE, grade=Grade.FITTED)})
    cost = book.cost(op("op", "fit", "float32", 1, 1))
    assert (cost.seconds, cost.grade) == (LAUNCH_S + 0.25, Grade.FITTED)


def test_an_unmeasured_op_takes_the_curve_of_its_class():
    cost = BOOK.cost(op("new", "fit", "float32", 10**9, 0))
    assert (cost.seconds, cost.grade, cost.source) == (LAUNCH_S + 2.0, Grade.FITTED, "fit")


def test_a_class_without_a_curve_takes_the_datasheet():
    cost = BOOK.cost(op("new", "other", "float32", 10**9, 0))
    assert (cost.seconds, cost.grade, cost.source) == (LAUNCH_S + 1.0, Grade.DATASHEET, "sheet")


def test_an_unknown_rate_is_refused():
    with pytest.raises(ProfileError, match="no rate for op class 'other' in bfloat16"):
        BOOK.cost(op("new", "other", "bfloat16", 1, 1))
