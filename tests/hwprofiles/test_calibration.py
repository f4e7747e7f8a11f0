"""Calibrations: impossible times are refused; another context demotes, it never discards."""

import pickle
from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from hwprofiles.calibration import Calibration, OpSample, TransferSample, co_run_factor
from hwprofiles.errors import RecordError
from hwprofiles.grade import Grade

OP = OpSample(
    signature="op",
    op_class="linear_forward",
    dtype="float32",
    flop=100,
    moved_bytes=10,
    median_s=1e-3,
    iqr_s=1e-5,
    repeats=7,
)


@pytest.mark.parametrize(
    ("field", "value"),
    [("median_s", 0.0), ("median_s", float("nan")), ("iqr_s", -1.0), ("flop", -1), ("repeats", 0)],
)
def test_an_impossible_measurement_is_refused_naming_the_op(field, value):
    with pytest.raises(RecordError, match="measured op 'op': "):
        replace(OP, **{field: value})


def test_an_impossible_transfer_is_refused():
    with pytest.raises(RecordError, match="measured transfer of 8 bytes"):
        TransferSample(payload_bytes=8, median_s=0.0, iqr_s=0.0)


def test_another_context_demotes_every_op_and_keeps_its_time():
    here = Calibration(ops={"op": OP}, context={"kernel": "6.1"})
    assert here.in_context({"kernel": "6.1"}) is here
    assert here.in_context({"kernel": "6.2"}).ops == {"op": replace(OP, grade=Grade.FITTED)}


def test_a_calibration_crosses_a_process_and_a_file():
    full = Calibration(ops={"op": OP}, scalars={"launch_overhead_s": 1e-6})
    assert pickle.loads(pickle.dumps(full)) == full
    as_json = TypeAdapter(Calibration)
    for calibration in (full, Calibration(), full.in_context({"kernel": "7"})):
        assert as_json.validate_json(as_json.dump_json(calibration)) == calibration


def test_transfer_points_are_what_a_link_takes():
    sample = TransferSample(payload_bytes=8, median_s=2e-6, iqr_s=0.0)
    assert Calibration(transfers=(sample,)).transfer_points == [(8.0, 2e-6)]


def test_the_co_run_factor_is_the_median_over_what_both_have_measured():
    alone = Calibration(ops=dict.fromkeys("abcd", OP))
    slower = {
        name: replace(OP, median_s=OP.median_s * k)
        for name, k in zip("abc", (1, 2, 9), strict=True)
    }
    assert co_run_factor(alone, Calibration(ops=slower | {"z": OP})) == 2
    assert co_run_factor(alone, alone) == 1
    assert co_run_factor(alone, Calibration(ops={"z": OP})) is None
