"""A table of TPU trainings reads as the others do, and its results stay unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.published.cases import express
from planner.published.names import Unsaid
from planner.published.rows import RESULTS, read_rows
from planner.published.tpu import slice_of

HEAD = (
    "case_id,source,model,input_size,seq_len,accelerator,n_chips,per_device_batch,global_batch,"
    "precision,framework,step_s,samples_per_s,tflops_per_chip,mfu_percent,throughput_unit,year\n"
)
CONVNET = "a,s,ResNet-50 v1.5,224x224,,TPU v3,16,,4096,bf16,TensorFlow,,16000,,,images/s,2018\n"
TEXT = "b,s,MaxText 16B,,2048,TPU v5e,256,4,,bf16,MaxText,3.5,,120,60,,2023\n"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "tpu.csv"
    path.write_text(HEAD + CONVNET + TEXT, encoding="utf-8")
    return read_rows(path)


def test_a_convnet_on_a_slice_is_expressed(rows):
    case = express(rows[0].told)
    assert (case.model, case.device, case.system) == ("resnet-50-v1-5", "tpu-v3", "tpu-v3:4x4")
    assert (case.plan.workers, case.plan.microbatch, case.training.batch) == (16, 256, 4096)
    assert rows[0].step_s(case.training.batch) == pytest.approx(4096 / 16000)
    assert rows[0].told["table"] == "tpu"


def test_a_model_that_is_not_there_is_said(rows):
    with pytest.raises(Unsaid, match="model 'MaxText 16B' is not built in"):
        express(rows[1].told)


def test_no_prediction_sees_a_result(rows):
    assert not {*RESULTS} & {key for row in rows for key in row.told}


@given(st.integers(0, 12), st.integers(2, 3))
def test_a_slice_has_all_chips_and_sides_alike(power, dimensions):
    sides = [int(side) for side in slice_of(1 << power, dimensions).split("x")]
    product = 1
    for side in sides:
        product *= side
    assert (product, len(sides)) == (1 << power, dimensions)
    assert max(sides) <= 2 * min(sides)
