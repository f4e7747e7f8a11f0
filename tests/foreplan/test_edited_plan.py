"""A plan edited by hand is checked, predicted anew, and then runs as it was edited."""

import json

import pytest

from planner.jsonable import to_jsonable
from planner.measurement import Measurement
from planner.plan import Training
from planner.records import read_record

pytestmark = pytest.mark.slow

EXECUTE = ["execute", "plan.json", "--steps", "5", "--oversubscribe", "--quiet"]


@pytest.mark.parametrize(
    "fields",
    [
        {"microbatch": 8},
        {"microbatch": 16, "activation_slots": 2, "input_slots": 2},
        {"placement": [3, 1]},
        {"algorithm": "star", "bucket_bytes": 100_000, "overlap": True, "landing_slots": 2},
        {"workers": 1, "microbatch": 32, "placement": [2], "algorithm": "none"},
    ],
    ids=str,
)
def test_it_runs_as_edited(fields, plan_file, dp, home, inside, tmp_path):
    file = plan_file("mlp", Training(batch=64), dp(2, 32))
    data = to_jsonable(file)
    data["plans"][0]["plan"] |= fields
    (tmp_path / "plan.json").write_text(json.dumps(data))
    answer = inside(EXECUTE, tmp_path, home)
    assert answer.returncode == 0, answer.stderr
    measured = read_record(tmp_path / "measurement.json", Measurement, "a measurement file")
    ran = to_jsonable(measured.ranked)
    assert ran["plan"] == data["plans"][0]["plan"]
    assert ran["prediction"]["graph_sha256"] != data["plans"][0]["prediction"]["graph_sha256"]
    assert tuple(measured.executions[0].arena_bytes) == measured.ranked.prediction.arena_bytes
    assert measured.ranked.label == measured.ranked.plan.label
