"""The whole of `make gpu-rehearse`: everything that `make gpu-check` does but what needs a GPU."""

import json
import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.benchmark


def rehearse(folder, *more):
    command = [sys.executable, ROOT / "bench" / "gpu_check.py", "--rehearse", "--state", folder]
    return subprocess.run([*command, *more], capture_output=True, text=True, check=False)


def test_a_rehearsal_that_was_stopped_goes_on_to_its_end(tmp_path):
    first = rehearse(tmp_path, "--minutes", "0.1")
    assert first.returncode == 75, first.stderr
    kept = {path.name: path.read_text() for path in tmp_path.glob("*.json")}
    assert kept
    second = rehearse(tmp_path, "--measure-only")
    assert second.returncode == 0, second.stderr
    assert "step " in second.stderr
    assert " left\n" in second.stderr
    assert "passed" in (tmp_path / "contract.txt").read_text()
    assert not list(tmp_path.glob("*.err"))
    assert not (tmp_path / "gpu.md").exists()
    third = rehearse(tmp_path, "--predict-only")
    assert third.returncode == 0, third.stderr
    assert all((tmp_path / name).read_text() == text for name, text in kept.items())
    page = (tmp_path / "gpu.md").read_text()
    assert "Nothing here was run by a GPU." in page
    assert "compute, memory and copies measured; network predicted" in page
    texts = [path.read_text() for path in tmp_path.glob("*.json")]
    (found,) = (json.loads(text) for text in texts if '"rows"' in text)
    assert found["contract"]["passed"]
    assert len(found["rows"]) == 6


def test_the_contract_holds_on_the_fakes_of_a_gpu_in_every_dtype(tmp_path):
    """What `make gpu-check` runs first there: CuPy's half of the contract, none skipped."""
    if util.find_spec("cupy"):
        pytest.skip("CuPy itself is installed")
    paths = os.pathsep.join([str(ROOT / "tests" / "fakes"), str(ROOT)])
    tests = ["tests/runtime/test_cuda_kernels.py", "-k", "cupy"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "skipped" not in ran.stdout
