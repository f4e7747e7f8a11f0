"""One command, whoever starts it: alone, under mpiexec, torchrun or srun, or with a hosts file."""

import json
import os
import subprocess
import sys

import pytest

from planner.plan import Training
from planner.records import to_jsonable
from runtime.launch import mpiexec

pytestmark = pytest.mark.slow

EXECUTE = ["execute", "plan.json", "--steps", "8"]
RANKS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory, plan_file, dp):
    folder = tmp_path_factory.mktemp("launchers")
    plans = plan_file("mlp", Training(batch=64), dp(2, 32), dp(1, 64))
    (folder / "plan.json").write_text(json.dumps(to_jsonable(plans)))
    (folder / "hosts").write_text("localhost:2\n")
    return folder


@pytest.fixture(scope="module")
def start(folder, home):
    """``start(arguments, variables, prefix)``: start foreplan, after ``prefix``, in the folder."""

    def begin(arguments, variables=(), prefix=()):
        program = [*prefix, sys.executable, "-m", "foreplan.cli", *arguments]
        return subprocess.Popen(
            program,
            cwd=folder,
            env=os.environ | {"FOREPLAN_HOME": str(home)} | dict(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def end(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def digest(path):
    return json.loads(path.read_text())["executions"][-1]["parameters_sha256"]


@pytest.fixture(scope="module")
def alone(start, folder):
    """Parameters after a run that foreplan started itself."""
    code, _, err = end(start([*EXECUTE, "-o", "alone.json"]))
    assert code == 0, err
    return digest(folder / "alone.json")


def test_the_processes_of_an_outer_mpiexec_are_the_workers(start, alone, folder):
    prefix = [mpiexec(), "-n", str(RANKS)]
    code, out, err = end(start([*EXECUTE, "-o", "outer.json"], prefix=prefix))
    assert code == 0, err
    assert out.count("test accuracy") == 1, "rank 0 alone speaks"
    assert digest(folder / "outer.json") == alone


def test_under_an_outer_mpiexec_a_plan_may_use_fewer_and_not_more(start, folder):
    prefix = [mpiexec(), "-n", "2"]
    code, _, err = end(start([*EXECUTE, "--pick", "1", "-o", "one.json"], prefix=prefix))
    assert code == 0, err
    code, _, err = end(start([*EXECUTE, "--pick", "7"], prefix=prefix))
    assert (code, err) == (
        2,
        "foreplan: --pick 7: the plan file has plans 0 to 1; pick one of them\n",
    )


def test_a_fault_of_a_worker_ends_all_processes_of_an_outer_mpiexec(start, folder):
    (folder / "bad").mkdir()
    for name in ("digits-train.rec", "digits-test.rec"):
        (folder / "bad" / name).write_bytes(b"foreplan")
    arguments = [*EXECUTE, "--data", "bad", "-o", "bad.json"]
    code, _, err = end(start(arguments, prefix=[mpiexec(), "-n", "2"]))
    assert code == 2
    assert "foreplan: record file" in err
    assert "Traceback" not in err
    assert not (folder / "bad.json").exists()


LAUNCHERS = {
    "torchrun": lambda rank: {
        "RANK": str(rank),
        "WORLD_SIZE": str(RANKS),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(RANKS),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    },
    "slurm": lambda rank: {
        "SLURM_JOB_ID": "1",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_STEP_NUM_TASKS": str(RANKS),
        "SLURM_STEP_NUM_NODES": "1",
    },
}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_under_a_launcher_without_mpi_the_first_process_starts_the_workers(
    name, start, alone, folder
):
    arguments = [*EXECUTE, "-o", f"{name}.json"]
    started = [start(arguments, LAUNCHERS[name](rank)) for rank in range(RANKS)]
    (code, out, err), other = (end(process) for process in started)
    assert code == 0, err
    assert "test accuracy" in out
    assert other == (0, "", "")
    assert digest(folder / f"{name}.json") == alone


@pytest.mark.parametrize(
    ("name", "more"),
    [("torchrun", {"LOCAL_WORLD_SIZE": "1"}), ("slurm", {"SLURM_STEP_NUM_NODES": "2"})],
)
def test_several_hosts_without_mpi_are_refused_with_what_to_do(
    name, more, inside, folder, home, monkeypatch
):
    for variable, value in (LAUNCHERS[name](1) | more).items():
        monkeypatch.setenv(variable, value)
    answer = inside(EXECUTE, folder, home)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"foreplan: {name}: expected 2 processes on one host")
    assert "--hosts FILE" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_hosts_file_places_the_workers(start, alone, folder, home):
    code, _, err = end(start([*EXECUTE, "--hosts", "hosts", "-o", "hosts.json"]))
    assert code == 0, err
    assert digest(folder / "hosts.json") == alone
    assert list((home / "jobs").iterdir()) == []


def test_too_few_slots_and_hosts_under_a_launcher_are_refused(inside, folder, home, monkeypatch):
    (folder / "few").write_text("localhost\n")
    answer = inside([*EXECUTE, "--hosts", "few"], folder, home)
    assert answer.returncode == 2
    assert "needs 2 workers, there is room for 1; " in answer.stderr
    for variable, value in LAUNCHERS["torchrun"](0).items():
        monkeypatch.setenv(variable, value)
    answer = inside([*EXECUTE, "--hosts", "hosts"], folder, home)
    assert answer.returncode == 2
    told = "--hosts hosts: expected to start workers, but torchrun has started 2"
    assert told in answer.stderr
