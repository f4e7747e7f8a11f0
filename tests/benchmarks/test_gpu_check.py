"""The whole of `make gpu-rehearse`: everything that `make gpu-check` does but what needs a GPU."""

import json
import subprocess
import sys
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
    second = rehearse(tmp_path)
    assert second.returncode == 0, second.stderr
    assert all((tmp_path / name).read_text() == text for name, text in kept.items())
    page = (tmp_path / "gpu.md").read_text()
    assert "Nothing here was run by a GPU." in page
    assert "compute, memory and copies measured; network predicted" in page
    texts = [path.read_text() for path in tmp_path.glob("*.json")]
    (found,) = (json.loads(text) for text in texts if '"rows"' in text)
    assert found["contract"]["passed"]
    assert len(found["rows"]) == 6
