"""Shared by the tests: a home of their own, data to train on, a small calibration, a cluster."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import foreplan
from foreplan import cli
from foreplan.machines import Local
from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.device import Device
from hwprofiles.garbage import collect_seldom
from hwprofiles.link import Link
from planner.certificate import Certificate
from planner.machine import Machine
from planner.model import load_model
from planner.opsets import plan_calls
from planner.plan import Plan, Training
from planner.predict import predict
from planner.records import SCHEMA, PlanFile, RankedPlan, cluster_record, plans_sha256
from sim.arrays.folder import cache_roots
from tests.shipped import shipped

DEVICES = 4
# Models that tests share live to the end: to look through them again and again takes long
collect_seldom()
# Processes that tests start have homes of their own; compiled code they share
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_roots(os.environ)[0]))


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """``$FOREPLAN_HOME`` with digits and some text in it; also the folder of the record files."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    folder = tmp_path_factory.mktemp("home")
    foreplan.write_digits(folder / "data")
    foreplan.write_text(folder / "data", [Path(argparse.__file__)])
    return folder


@pytest.fixture(scope="session")
def calibrated_home(home):
    """The home with one worker's ops of the plans of ``mlp`` at batch 64, timed for real."""
    before = os.environ.get("FOREPLAN_HOME")
    os.environ["FOREPLAN_HOME"] = str(home)
    try:
        calls = {}
        for microbatch in (32, 64):
            calls |= plan_calls(load_model("mlp"), Training(batch=64), dp(1, microbatch))
        Local.here().calibrate(calls, 1)
    finally:
        if before is None:
            del os.environ["FOREPLAN_HOME"]
        else:
            os.environ["FOREPLAN_HOME"] = before
    return home


def dp(workers, microbatch, algorithm="ring", bucket_bytes=1 << 30, overlap=False, **slots):
    """A data-parallel plan; registers as the search leaves them unless ``slots`` says more."""
    return Plan(
        workers=workers,
        microbatch=microbatch,
        placement=tuple(range(workers)),
        algorithm=algorithm if workers > 1 else "none",
        bucket_bytes=bucket_bytes,
        overlap=overlap,
        **slots,
    )


@pytest.fixture(scope="session", name="dp")
def _dp():
    return dp


@pytest.fixture(scope="session")
def machine():
    """Four cores of a datasheet that nobody has: enough to lower and predict any plan."""
    core = Device(
        name="core",
        kind="cpu",
        memory_bytes=1 << 32,
        memory_bytes_per_s=1e10,
        peak_flop_per_s={"float32": 4e10, "float64": 2e10},
        transfers_hold_compute=True,
        source="none",
    )
    copy = Link(name="copy", bandwidth_bytes_per_s=5e9, overheads=((0.0, 1e-6),))
    ranks = range(DEVICES)
    edges = [(a, b, copy) for a in ranks for b in ranks if a != b]
    cluster = Cluster.from_edges("cores", [core] * DEVICES, edges)
    books = {core.name: CostBook(device=core, ops={})}
    return Machine(name="cores", clusters={0: cluster}, cost_books={0: books}, identities={})


SMALL = """
name = "small"
input = [1, 16, 16]
record = [8, 8]
full_scale = 16
classes = 10
layer = [
  {name = "c", kind = "conv2d", channels = 6, kernel = 3, pad = 1, bias = false},
  {name = "n", kind = "batch_norm", group = 4},
  {name = "r", kind = "relu"},
  {name = "p", kind = "max_pool", window = 2},
  {name = "flat", kind = "flatten"},
  {name = "h", kind = "linear", features = 24},
  {name = "h_relu", kind = "relu"},
  {name = "drop", kind = "dropout", percent = 40},
  {name = "out", kind = "linear", features = 10},
]
"""


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """Path of a model with batch normalisation over 4 samples and dropout, on the digits."""
    path = tmp_path_factory.mktemp("models") / "small.toml"
    path.write_text(SMALL)
    return str(path)


ADAMW = {"optimizer": "adamw", "learning_rate": 0.003, "epsilon": 0.01}
"""So large an epsilon that no update turns on the rounding of a gradient near 0."""


@pytest.fixture(scope="session", name="adamw")
def _adamw():
    return ADAMW


@pytest.fixture(scope="session")
def plan_file(machine):
    """``plan_file(model, training, *plans)``: a plan file as the search would write it."""

    def build(name, training, *plans):
        model = load_model(name) if "/" in name else shipped(name)
        ranked = tuple(
            RankedPlan(label=p.label, plan=p, prediction=predict(model, training, p, machine)[0])
            for p in plans
        )
        return PlanFile(
            schema=SCHEMA,
            tool="foreplan test",
            model=name,
            cluster=machine.name,
            training=training,
            model_sha256=model.sha256(),
            plans=ranked,
            plans_sha256=plans_sha256(ranked),
            certificate=Certificate(
                candidates=len(plans),
                by_verdict={"fits": len(plans)},
                simulated=len(plans),
                pruned_by_bound=0,
                pruned_by_dominance=0,
                not_reached=0,
                runner_up="",
                runner_up_frac=0.0,
                engine="heap",
                stopped_by="proof",
                statement="written by a test",
            ),
            machine={0: cluster_record(machine, DEVICES, set())},
        )

    return build


@pytest.fixture(scope="session")
def command():
    """``command(arguments, folder, home)``: run the real command line; return what it did."""
    beside = Path(sys.executable).parent / "foreplan"
    program = [str(beside)] if beside.exists() else [sys.executable, "-m", "foreplan.cli"]

    def run(arguments, folder, home, timeout=100):
        environment = os.environ | {"FOREPLAN_HOME": str(home), "COLUMNS": "200"}
        return subprocess.run(
            [*program, *map(str, arguments)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def inside(monkeypatch, capfd):
    """``inside(arguments, folder, home)``: as ``command``, in this process, which starts sooner."""

    def run(arguments, folder, home):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("FOREPLAN_HOME", str(home))
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main([*map(str, arguments)])
        shown = capfd.readouterr()
        return SimpleNamespace(returncode=end.value.code, stdout=shown.out, stderr=shown.err)

    return run


@pytest.fixture(scope="session")
def our_workers():
    """``our_workers()``: the worker processes that this process has started and that still run."""

    def find():
        return [p for p in psutil.Process().children(recursive=True) if _is_worker(p)]

    return find


def _is_worker(process):
    try:
        line = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    launcher = line and Path(line[0]).name.startswith(("mpiexec", "hydra"))
    return bool(launcher) or "runtime.worker" in line
