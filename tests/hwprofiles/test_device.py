"""Devices: fitted curve before datasheet, unknown rates refused."""

from dataclasses import replace

import pytest

from hwprofiles.device import Device, OpCurve
from hwprofiles.errors import ProfileError
from hwprofiles.grade import Grade

DEVICE = Device(
    name="d",
    kind="gpu",
    memory_bytes=10**9,
    memory_bytes_per_s=1e11,
    peak_flop_per_s={"float16": 3e13, "float16_matrix": 1.2e14, "float32": 1.5e13},
)


def test_the_matrix_unit_serves_products_and_the_vector_unit_the_rest():
    assert DEVICE.curve("linear_forward", "float16").flop_per_s == 1.2e14
    assert DEVICE.curve("conv2d_input_grad", "float16").flop_per_s == 1.2e14
    assert DEVICE.curve("tanh_forward", "float16").flop_per_s == 3e13
    assert DEVICE.curve("linear_forward", "float32").flop_per_s == 1.5e13


def test_a_fitted_curve_goes_before_the_datasheet():
    fitted = OpCurve(flop_per_s=1.0, bytes_per_s=1.0, grade=Grade.FITTED)
    device = replace(DEVICE, curves={"linear_forward/float32": fitted})
    assert device.curve("linear_forward", "float32") is fitted
    assert device.curve("linear_forward", "float16").grade is Grade.DATASHEET


def test_an_unknown_dtype_is_refused_naming_the_known_ones():
    with pytest.raises(ProfileError, match="known dtypes: float16, float32"):
        DEVICE.curve("linear_forward", "float64")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "npu"),
        ("memory_bytes", 0),
        ("memory_bytes_per_s", float("nan")),
        ("peak_flop_per_s", {"float32": -1.0}),
        ("launch_overhead_s", -1e-6),
    ],
)
def test_an_impossible_device_is_refused_by_field(field, value):
    with pytest.raises(ProfileError, match=r"device 'd': (kind|memory|float32|launch)"):
        replace(DEVICE, **{field: value})


def test_a_smaller_grade_is_stronger_evidence():
    assert Grade.MEASURED < Grade.FITTED < Grade.DATASHEET
    assert Grade.FITTED.label == "fitted"
