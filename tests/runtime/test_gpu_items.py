"""Processes of `make gpu-check`: one waits while one runs, a fault is told whole, none is left."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

BENCH = Path(__file__).parents[2] / "bench"
ITEM = """
import os, subprocess, sys, time
from pathlib import Path

name, folder = sys.argv[1], Path(sys.argv[2])

def there(name, text=""):
    (folder / f"{name}.part").write_text(text)
    (folder / f"{name}.part").rename(folder / name)

if name == "sleeps":
    there("below.waits", str(subprocess.Popen(["sleep", "60"]).pid))
there(f"{name}.waits", str(os.getpid()))
if name == "dies":
    sys.exit("first line\\n" + 5000 * "x" + "\\nlast line")
if not sys.stdin.readline():
    there(f"{name}.unwanted")
    sys.exit()
if name == "first":
    deadline = time.monotonic() + 20
    while not (folder / "second.waits").exists():
        assert time.monotonic() < deadline, "the next item was not started"
        time.sleep(0.01)
    assert not (folder / "second.done").exists(), "the next item did not wait"
if name == "sleeps":
    there("sleeps.runs")
    time.sleep(60)
there(f"{name}.done")
"""
PARENT = """
import sys
sys.path.insert(0, {bench!r})
from gpu_items import Ahead, Item
from pathlib import Path

def start(name):
    command = [sys.executable, "-S", "-c", {item!r}, name, {folder!r}]
    return Item(command, {{}}, Path({folder!r}) / (name + ".err"))

with Ahead(start) as ahead:
    ahead.run("sleeps", 60, "second")
"""


@pytest.fixture
def items(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("gpu_items")


@pytest.fixture
def ahead(items, tmp_path):
    """What runs items of the script above, which leave files named after them."""

    def start(name):
        command = [sys.executable, "-S", "-c", ITEM, name, str(tmp_path)]
        return items.Item(command, dict(os.environ), tmp_path / f"{name}.err")

    return items.Ahead(start)


def awaited(place):
    """Return what a file says, once it is there."""
    deadline = time.monotonic() + 20
    while not place.exists():
        assert time.monotonic() < deadline, f"{place.name} did not come"
        time.sleep(0.01)
    return place.read_text()


def is_over(pid):
    """Whether a process has ended, or does so soon."""
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_the_next_item_waits_while_one_runs_and_begins_at_its_turn(ahead, tmp_path):
    with ahead:
        assert ahead.run("first", 30, "second") == ""
        assert not (tmp_path / "second.done").exists()
        assert ahead.run("second", 30) == ""
    assert (tmp_path / "second.done").exists()
    assert not list(tmp_path.glob("*.err")), "what did not fail left a log"


def test_one_that_dies_while_it_waits_fails_at_its_turn_and_leaves_all_it_said(ahead, tmp_path):
    with ahead:
        assert ahead.run("quick", 30, "dies") == ""
        awaited(tmp_path / "dies.waits")
        fault = ahead.run("dies", 30, "second")
        assert fault.startswith("exit 1: ")
        assert fault.strip().endswith("last line")
        assert ahead.run("second", 30) == ""
    said = (tmp_path / "dies.err").read_text()
    assert said.startswith("first line")
    assert len(said) > 5000


def test_an_item_past_its_time_ends_with_all_it_started_and_so_does_the_one_that_waits(
    ahead, tmp_path
):
    with ahead:
        assert ahead.run("quick", 30, "sleeps") == ""
        awaited(tmp_path / "sleeps.waits")
        assert "took longer" in ahead.run("sleeps", 0.1, "second")
        pids = [int(awaited(tmp_path / f"{name}.waits")) for name in ("sleeps", "below", "second")]
    assert all(map(is_over, pids))
    assert not (tmp_path / "second.done").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_item_is_left_waiting_by_a_parent_that_is_stopped(number, tmp_path):
    script = PARENT.format(bench=str(BENCH), item=ITEM, folder=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    names = ("second", "below", "sleeps")
    pids = [int(awaited(tmp_path / f"{name}.waits")) for name in names]
    awaited(tmp_path / "sleeps.runs")
    parent.send_signal(number)
    assert parent.wait(20)
    if number == signal.SIGKILL:  # of which a process learns nothing
        awaited(tmp_path / "second.unwanted")
        os.killpg(pids[-1], signal.SIGKILL)
    assert all(map(is_over, pids))


def test_bytecode_is_kept_in_the_state_folder_where_packages_came_without(
    items, tmp_path, monkeypatch
):
    (tmp_path / "bare_package").mkdir()
    (tmp_path / "bare_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not items._is_compiled("bare_package")
    assert items._is_compiled("no_such_package")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(items, "_is_compiled", lambda package: package != "torch")
    found = items.environment(tmp_path, one_thread=False)
    assert found["PYTHONPYCACHEPREFIX"] == str(tmp_path / "pycache")
    assert "PYTHONDONTWRITEBYTECODE" not in found
    monkeypatch.setattr(items, "_is_compiled", lambda package: True)
    assert items.environment(tmp_path, one_thread=False) == dict(os.environ)


def test_our_libraries_are_loaded_before_those_of_pytorch(items, monkeypatch):
    names = []

    def record(name):
        names.append(name)
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(items.importlib, "import_module", record)
    monkeypatch.setattr(items.gc, "freeze", lambda: None)
    items.load(on_gpu=True)
    assert names.index("cudnn") < names.index("torch")
    assert names.index("cupy_backends.cuda.libs.cublas") < names.index("torch")
    names.clear()
    items.load(on_gpu=False)
    assert not {"cupy", "cudnn"} & set(names)
    assert "torch._dynamo" in names
