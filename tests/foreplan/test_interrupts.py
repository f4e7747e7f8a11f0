"""Ctrl-C and signals: the best so far is written whole, workers end, the code is 130."""

import contextlib
import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

import planner.search
from foreplan import cli
from tests.foreplan.conftest import snapshot

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("done", "pareto"), [(3, []), (1, ["--pareto", "time,memory"])], ids=["best", "front"]
)
def test_a_search_that_is_interrupted_keeps_its_best(done, pareto, folder, monkeypatch, capsys):
    real = planner.search.simulation
    calls = []

    def simulation(*arguments):
        calls.append(arguments)
        if len(calls) > done:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(planner.search, "simulation", simulation)
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", "mlp", "v100-quad", "--batch", "64", "-o", "best.json", *pareto])
    assert end.value.code == 130
    written = json.loads((folder / "best.json").read_text())
    assert written["certificate"]["stopped_by"] == "interrupt"
    assert written["certificate"]["simulated"] == done
    assert len(written["plans"]) == done
    notes = capsys.readouterr().err.splitlines()
    assert notes[0] == "wrote best.json"
    assert notes[1].startswith("foreplan: interrupted")


def test_an_interrupt_before_anything_was_found_writes_nothing(folder, monkeypatch, capfd):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(planner.search, "simulation", interrupt)
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", "mlp", "v100-quad", "--batch", "64", "-o", "out.json"])
    assert end.value.code == 130
    assert (
        capfd.readouterr().err == "foreplan: interrupted; nothing was written that is not whole\n"
    )
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_an_execution_with_all_its_workers(number, code, says, folder, home):
    line = "from foreplan.cli import main; main()"
    arguments = ["execute", "good.json", "--pick", "1", "--steps", "10000000", "-o", "out.json"]
    before = snapshot(folder)
    with subprocess.Popen(
        [sys.executable, "-c", line, *arguments],
        cwd=folder,
        env={"PATH": "", "FOREPLAN_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        workers = wait_for_workers(process.pid)
        assert workers
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert says in err
    assert "Traceback" not in err
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert len(gone) == len(workers)
    assert snapshot(folder) == before


def wait_for_workers(pid):
    """Return all processes below ``pid`` once a worker is among them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        below = psutil.Process(pid).children(recursive=True)
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                if "runtime.worker" in process.cmdline() and "mpiexec" not in process.name():
                    return psutil.Process(pid).children(recursive=True)
        time.sleep(0.05)
    raise AssertionError("no worker was started")


INSIDE_A_STRING = """
import planner.search
from foreplan.cli import main
def simulation(*arguments):
    exec("import signal; signal.raise_signal(signal.SIGINT); [None for _ in range(9)]")
planner.search.simulation = simulation
main(["plan", "mlp", "v100-quad", "--batch", "64", "-o", "out.json"])
"""


def test_an_interrupt_of_executed_text_ends_by_our_code_and_not_by_the_signal(folder):
    (folder / "probe.py").write_text(INSIDE_A_STRING)
    before = snapshot(folder)
    command = [sys.executable, "-B", "-m", "probe"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert ran.returncode == 130, ran.stderr
    assert snapshot(folder) == before
