"""`foreplan execute --backend cuda` in worker processes; without a GPU, on the fakes of one."""

from importlib import util

import numpy as np
import pytest

import foreplan
from hwprofiles.errors import BackendUnavailable, PlanError
from planner.measurement import Measurement
from planner.plan import Training
from planner.records import write_record

STEPS, WARM_UP, BUCKET_BYTES = 6, 2, 4000
TRAINING = Training(batch=48, dtype="float64", learning_rate=0.02)


@pytest.fixture
def planned(tiny, plan_file, dp, tmp_path):
    """A plan file of one worker, and of two that exchange two buckets."""
    path = tmp_path / "plan.json"
    two = dp(2, 12, "ring", BUCKET_BYTES, overlap=True)
    write_record(path, plan_file(tiny, TRAINING, dp(1, 12), two))
    return path


def run(planned, home, folder, backend, pick, **more) -> tuple[Measurement, np.ndarray]:
    saved = folder / f"{backend}-{pick}.npy"
    found = foreplan.execute(
        planned,
        pick=pick,
        steps=STEPS,
        warmup=WARM_UP,
        data=home / "data",
        backend=backend,
        parameters=saved,
        output=folder / "m.json",
        **more,
    )
    return found, np.load(saved)


@pytest.mark.slow
def test_two_workers_on_gpus_train_as_on_cores(planned, home, tmp_path, fake_gpu, monkeypatch):
    monkeypatch.setenv("CUPY_FAKE_DEVICES", "2")
    there, got = run(planned, home, tmp_path, "cuda", 1)
    here, expected = run(planned, home, tmp_path, "numpy", 1)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    mine, theirs = there.executions[0], here.executions[0]
    np.testing.assert_allclose(mine.losses, theirs.losses, rtol=1e-12)
    assert mine.arena_bytes == theirs.arena_bytes
    assert mine.arena_intact
    assert mine.test_accuracy == theirs.test_accuracy
    assert mine.steps == STEPS
    assert there.environment["backend"] == "cuda"
    assert there.environment["backend library"].endswith("Fake GPU")
    assert there.environment["issue_s"] > 0
    assert "messages" not in there.environment["notes"], "they went by NCCL"
    assert there.split.measured_s == there.step_s
    assert all(op.solo_s > 0 and op.traced_s > 0 for op in there.ops)
    ends, starts = there.trace.measured_end_s, there.trace.measured_start_s
    assert all(a <= b for a, b in zip(starts, ends, strict=True))


def test_what_a_gpu_cannot_do_is_refused_in_a_sentence(planned, home, tmp_path, fake_gpu):
    with pytest.raises(PlanError, match=r"^--check: expected a backend that computes on cores"):
        run(planned, home, tmp_path, "cuda", 0, check=True)
    with pytest.raises(BackendUnavailable, match=r"^cluster 'local:cuda': expected a backend"):
        foreplan.calibrate(backend="cuda")


def test_without_cupy_the_backend_is_refused_in_a_sentence(planned, home, tmp_path):
    if util.find_spec("cupy"):
        pytest.skip("CuPy is installed")
    with pytest.raises(BackendUnavailable, match=r"^backend 'cuda': CuPy is not installed"):
        run(planned, home, tmp_path, "cuda", 0)


def _gpus() -> int:
    from runtime.cuda.backend import missing

    if missing():
        return 0
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


@pytest.mark.gpu
def test_two_gpus_train_as_one(tiny, plan_file, dp, home, tmp_path):
    """The same batch on two GPUs, whose messages go by NCCL, and on one; opt-in: ``-m gpu``."""
    if (count := _gpus()) < 2:
        pytest.skip(f"needs two GPUs, there are {count}")
    path = tmp_path / "plan.json"
    training = Training(batch=48, learning_rate=0.02)
    two = dp(2, 24, "ring", BUCKET_BYTES // 2, overlap=True)
    write_record(path, plan_file(tiny, training, dp(1, 48), two))
    one, expected = run(path, home, tmp_path, "cuda", 0)
    both, got = run(path, home, tmp_path, "cuda", 1)
    assert "messages" not in both.environment["notes"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(both.executions[0].losses, one.executions[0].losses, rtol=1e-4)
