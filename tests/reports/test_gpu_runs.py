"""Plans that worker processes ran on a GPU: two that share it train as one does."""

from pathlib import Path

import numpy as np
import pytest

from planner.measurement import Measurement
from planner.records import read_record

RESULTS = Path(__file__).parents[2] / "bench" / "results"


def test_two_workers_that_share_a_gpu_train_as_one_does():
    alone, shared = (
        read_record(RESULTS / f"h200-lenet-5-{how}.json", Measurement, "measurement")
        for how in ("alone", "shared")
    )
    one, two = alone.executions[0], shared.executions[0]
    assert (len(one.arena_bytes), len(two.arena_bytes)) == (1, 2)
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-4)
    assert two.test_accuracy == one.test_accuracy
    for run in (alone, shared):
        assert run.environment["backend"] == "cuda"
        assert run.executions[0].arena_intact
        assert run.split.measured_s == pytest.approx(run.step_s)
    assert "messages" not in alone.environment["notes"]
    assert shared.environment["notes"]["messages"].startswith("through the host")
