"""A run that is killed and goes on in new processes ends where an unbroken one does, to the bit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwprofiles.errors import RecordError, WorkerLost
from planner.plan import Training
from planner.records import to_jsonable
from runtime.checkpoint import newest, stored
from runtime.launch import launch

pytestmark = pytest.mark.slow

FOREVER = 1_000_000
EVERY = 30


def asked(folder, resume=None, every=EVERY):
    return {"folder": str(folder), "every": every, "resume": str(resume or "")}


def killed_run(job, workers, folder, workers_by_rank):
    """Run with checkpoints, and kill rank 0 somewhere between two of them."""

    def kill(done, total):
        if len(stored(folder)) == 2 and done % EVERY and (alive := workers_by_rank()):
            alive[0].kill()

    job = job | {"steps": FOREVER, "checkpoints": asked(folder)}
    with pytest.raises(WorkerLost, match=r"^rank 0: .*--resume"):
        launch(job, workers, timeout_s=30, progress=kill)


@pytest.mark.parametrize(
    ("model", "dtype", "workers"), [("mlp", "float64", 1), ("small", "float32", 2)]
)
def test_killed_and_resumed_is_unbroken(
    model, dtype, workers, job, tmp_path, plan_file, dp, workers_by_rank, small_model, adamw
):
    """The small model draws masks, and AdamW counts its steps: both go on from where they were."""
    training = Training(batch=64, dtype=dtype)
    if model == "small":
        model, training = small_model, Training(batch=64, dtype=dtype, **adamw)
    plan = dp(workers, 16, "ring", 100_000, overlap=True)
    job = job | {"plans": to_jsonable(plan_file(model, training, plan))}
    folder = tmp_path / "kept"
    killed_run(job, workers, folder, workers_by_rank)
    last = newest(folder)
    n = int(last.stem.removeprefix("step-"))
    assert n % EVERY == 0
    assert n >= 2 * EVERY
    ends = {"steps": n + 7, "parameters": str(tmp_path / "whole.npy")}
    whole = launch(job | ends, workers, timeout_s=30)
    ends["parameters"] = str(tmp_path / "resumed.npy")
    going_on = {"checkpoints": asked(folder, resume=last, every=0)}
    resumed = launch(job | ends | going_on, workers, timeout_s=30)
    assert resumed["parameters_sha256"] == whole["parameters_sha256"]
    assert resumed["losses"] == whole["losses"]
    assert len(resumed["losses"]) == n + 7
    assert len(resumed["seconds"]) == 7
    assert resumed["accuracy"] == whole["accuracy"]
    np.testing.assert_array_equal(*(np.load(tmp_path / f"{k}.npy") for k in ("whole", "resumed")))


def test_checkpoints_change_nothing_and_the_last_one_is_the_end(job, tmp_path):
    job = job | {"steps": 40}
    plain = launch(job, 2, timeout_s=30)
    kept = launch(job | {"checkpoints": asked(tmp_path, every=15)}, 2, timeout_s=30)
    assert kept["parameters_sha256"] == plain["parameters_sha256"]
    assert kept["losses"] == plain["losses"]
    assert [p.stem for p in stored(tmp_path)] == ["step-000000030", "step-000000040"]
    again = job | {"checkpoints": asked(tmp_path, resume=newest(tmp_path))}
    with pytest.raises(RecordError, match=r"before step 40, .*after 40; give more --steps"):
        launch(again, 2, timeout_s=30)


def test_another_number_of_workers_is_refused(job, tmp_path):
    launch(job | {"checkpoints": asked(tmp_path)}, 2, timeout_s=30)
    other = {"pick": 1, "checkpoints": asked(tmp_path, resume=newest(tmp_path)), "steps": 50}
    with pytest.raises(RecordError, match=r"expected the state of plan .*workers 1, got .*2; "):
        launch(job | other, 1, timeout_s=30)


FULL = """
import json, sys
from pathlib import Path
from runtime.launch import launch
job = json.loads(Path(sys.argv[1]).read_text())
try:
    launch(job, 2, timeout_s=30)
except Exception as error:
    print(type(error).__name__, error.exit_code, error)
from runtime.checkpoint import newest, stored
folder = Path(job["checkpoints"]["folder"])
print(len(list(folder.iterdir())), newest(folder).name)
"""


def test_a_full_disk_ends_the_job_with_that_cause(job, tmp_path):
    """A disk with room for two checkpoints of 2.4 MB: the workers are real, and so is the disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = shutil.which("unshare")
    script = 'mount -t tmpfs -o size=6m none "$0" && exec "$@"'
    command = [str(unshare), "-rm", "sh", "-c", script, str(disk)]
    if not unshare or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("no mount namespace of one's own here, so no disk that can be filled")
    told = job | {"steps": FOREVER, "checkpoints": asked(disk, every=5)}
    (tmp_path / "job.json").write_text(json.dumps(told))
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [*command, sys.executable, "-c", FULL, str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    fault, left = done.stdout.splitlines()
    assert fault.startswith("RecordError 2 checkpoint ")
    assert os.strerror(28) in fault
    assert "step-000000010.ckpt" in fault
    assert left == "2 step-000000010.ckpt"
