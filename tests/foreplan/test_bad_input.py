"""Bad input at the real command line: one line on stderr, the documented code, nothing written."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

import foreplan
import planner.search
from foreplan import cli
from planner.jsonable import to_jsonable
from planner.plan import Training
from planner.records import write_record
from runtime.records import write_records
from sim.graphfile import write_graph
from sim.taskgraph import GraphBuilder

pytestmark = pytest.mark.slow

BATCH = Training(batch=64)
KNOWN = "double_binary_tree, halving_doubling, ring, sharded_star, star, tree"


@pytest.fixture(scope="module")
def plans(plan_file, dp):
    """A plan file as JSON: two workers on a machine of four cores, and one alone."""
    file = plan_file("mlp", BATCH, dp(2, 32, "star"), dp(1, 64))
    return json.dumps(to_jsonable(file))


@pytest.fixture
def folder(tmp_path, plans):
    """A folder with a plan file and an older output that no failing command may touch."""
    (tmp_path / "good.json").write_text(plans)
    (tmp_path / "out.json").write_text("kept")
    (tmp_path / "out.html").write_text("kept")
    return tmp_path


@pytest.fixture
def edited(folder, plans):
    """``edited(fields, index)``: the plan file with some fields of one plan edited by hand."""

    def edit(fields, index=0):
        data = json.loads(plans)
        data["plans"][index]["plan"] |= fields
        (folder / "edited.json").write_text(json.dumps(data))

    return edit


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refused(folder, home, command, monkeypatch, capfd):
    """``refused(arguments)``: run, check the promises that hold for all faults, return the line.

    As a process of its own, or with ``inside`` (quicker) in this one.
    """

    def run(arguments, *, code=2, inside=False, at=home):
        before = snapshot(folder)
        if inside:
            monkeypatch.chdir(folder)
            monkeypatch.setenv("FOREPLAN_HOME", str(at))
            capfd.readouterr()
            with pytest.raises(SystemExit) as end:
                cli.main([str(a) for a in arguments])
            got, (out, err) = end.value.code, capfd.readouterr()
        else:
            answer = command(arguments, folder, at)
            got, out, err = answer.returncode, answer.stdout, answer.stderr
        assert got == code, err
        assert "Traceback" not in err
        assert out == ""
        assert err.endswith("\n")
        assert err.count("\n") == 1, err
        assert err.startswith("foreplan: ")
        assert snapshot(folder) == before
        return err.removeprefix("foreplan: ").rstrip()

    return run


PLAN = ["plan", "mlp", "v100-quad", "-o", "out.json", "--batch"]
EXECUTE = ["execute", "edited.json", "-o", "out.json"]

PROCESSES = [
    # arguments, code, what the line must say
    (["execute", "nowhere.json"], 2, ["nowhere.json: expected a plan file", "check the path"]),
    (["execute", "."], 2, [".: expected a plan file", "directory", "check the path"]),
    (["execute", "good.json", "--pick", "-1"], 2, ["--pick", "0, got '-1'", "execute --help"]),
    (["execute", "good.json", "--pick", "9"], 2, ["--pick 9", "plans 0 to 1", "pick one"]),
    (
        ["execute", "good.json", "--data", "nowhere"],
        2,
        ["nowhere: expected one file *-train.rec", "found none", "foreplan data digits"],
    ),
    (["execute", "good.json", "--backend", "abacus"], 2, ["backend 'abacus'", "numpy, onednn"]),
    ([*PLAN, "0"], 2, ["--batch: ", "1, got '0'; see `foreplan plan --help`"]),
    ([*PLAN, "-64"], 2, ["--batch: ", "1, got '-64'"]),
    ([*PLAN, "many"], 2, ["--batch: ", "integer", "got 'many'"]),
    ([*PLAN, "99999999999999999999"], 2, ["--batch: ", "2147483647"]),
    ([*PLAN, "64", "--fix", "workers=3"], 4, [" the batch is not workers x", "change --batch"]),
    (
        ["plan", "lenet-6", "v100-quad", "--batch", "64"],
        2,
        ["did you mean lenet", "are known, `foreplan models list` names them"],
    ),
    (
        ["plan", "mlp", "v100-squad", "--batch", "64"],
        2,
        ["cluster 'v100-squad'", "did you mean v100-quad", " are known"],
    ),
    (["plan", "mlp", "local", "--batch", "64"], 2, ["cluster 'local'", "foreplan hw calibrate"]),
    (["report", "good.json", "bad-measurement.json", "-o", "out.html"], 2, ["bad-measurement"]),
    (["simulate", "dependency-cycle.json"], 2, ["dependency cycle of 2 tasks", "b waits for a"]),
    (["simulate", "credit-cycle.json"], 2, ["can never start", "slots", "give it"]),
]


@pytest.mark.parametrize(("arguments", "code", "says"), PROCESSES)
def test_as_a_process(arguments, code, says, folder, refused, tmp_path_factory):
    (folder / "bad-measurement.json").write_text('{"schema": 1, "step_s": "fast"}')
    write_cycles(folder)
    local = "local" in arguments
    at = {"at": tmp_path_factory.mktemp("empty")} if local else {}
    line = refused(arguments, code=code, **at)
    for part in says:
        assert part in line, line


def write_cycles(folder):
    """Two task graphs that deadlock: one by its dependencies, one for want of a slot."""
    builder = GraphBuilder()
    lane = builder.lane(0)
    register = builder.register(0, slots=1, slot_bytes=8)
    a = builder.compute([lane], 5, writes=[register])
    b = builder.compute([lane], 5, reads=[(a, register)])
    path = folder / "good-graph.json"
    write_graph(path, builder.build(), ["a", "b"])
    data = json.loads(path.read_text())
    cycle = data["graph"] | {"dep_ptr": [0, 1, 2], "dep_idx": [b, a]}
    (folder / "dependency-cycle.json").write_text(json.dumps(data | {"graph": cycle}))
    starved = data["graph"] | {"register_slots": [0]}
    (folder / "credit-cycle.json").write_text(json.dumps(data | {"graph": starved}))


INSIDE = [
    (["plan", "mlp"], ["cluster", "foreplan plan --help"]),
    (["plant"], ["No such command 'plant'", "foreplan --help"]),
    ([*PLAN, "64", "--fixed", "workers=2"], ["No such option", "foreplan plan --help"]),
    ([*PLAN, "64", "--fix", "wrokers=2"], ["--fix: expected one of workers,", "got 'wrokers'"]),
    ([*PLAN, "64", "--fix", "workers=two"], ["--fix workers: expected a whole", "got 'two'"]),
    ([*PLAN, "64", "--fix", "workers=²"], ["--fix workers: expected a whole", "got '²'"]),
    ([*PLAN, "64", "--fix", "algorithm=rng"], ["algorithm 'rng'", "did you mean ring"]),
    ([*PLAN, "64", "--fix", "overlap=maybe"], ["--fix overlap: expected on or off", "got 'maybe'"]),
    ([*PLAN, "64", "--dtype", "int8"], ["--dtype", "float32 or float64", "'int8'"]),
    ([*PLAN, "64", "--dtype", "bfloat16"], ["v100-sxm2-16g", "bfloat16", "known dtypes"]),
    ([*PLAN, "64", "--learning-rate", "inf"], ["--learning-rate", "finite", "got inf"]),
    ([*PLAN, "64", "--learning-rate", "0"], ["--learning-rate", "> 0", "got 0.0"]),
    ([*PLAN, "64", "--momentum", "nan"], ["--momentum", "below 1", "got nan"]),
    ([*PLAN, "64", "--optimizer", "adma"], ["--optimizer 'adma'", "did you mean adamw"]),
    ([*PLAN, "64", "--beta2", "0.9"], ["--beta2: expected none", "'sgd' takes learning_rate, mom"]),
    ([*PLAN, "64", "--optimizer", "adamw", "--beta2", "1"], ["--beta2", "below 1", "got 1.0"]),
    ([*PLAN, "64", "--seed", "-1"], ["--seed", "0, got '-1'"]),
    ([*PLAN, "64", "--top", "0"], ["--top", "1, got '0'"]),
    (["plan", "mlp", "v100-quad", "--batch", "64", "-o", "no/x.json"], ["no/x.json", "folder"]),
    (["plan", "mlp", "v100-quad", "--batch", "64", "-o", "."], [".: cannot be written"]),
    (["plan", "mlp", "none.toml", "--batch", "64"], ["'none.toml'", "expected a TOML file"]),
    (["execute", "good.json", "-o", "no/x.json"], ["no/x.json: cannot be written", "folder"]),
    (["execute", "good.json", "--save", "no/x.npy"], ["no/x.npy: cannot be written"]),
    (["execute", "good.json", "--steps", "0"], ["--steps", "1, got '0'"]),
    (["execute", "good.json", "--gate=0.5"], ["--gate", "1, got '0.5'"]),
    (["report", "good.json", "-o", "no/x.html"], ["no/x.html: cannot be written", "folder"]),
    (["report", "good.json", "-o", "."], [".: cannot be written"]),
    (["trace", "good.json", "-o", "no/x.json"], ["no/x.json: cannot be written", "folder"]),
    (["trace", "good.json", "--rank", "99"], ["--rank 99: the plan has ranks 0 to", "name one"]),
    (["trace", "nowhere.json"], ["nowhere.json: expected a plan file"]),
    (["report", "nowhere.json"], ["nowhere.json: expected a plan file"]),
    (["simulate", "nowhere.json"], ["nowhere.json: expected a graph.json"]),
    (["simulate", "good.json", "--straggler", "2=1.5"], ["expected a worker 0 to 1, got 2"]),
    (["simulate", "good.json", "--straggler", "x=2"], ["--straggler 'x=2'", "worker's number"]),
    (["simulate", "good.json", "--degrade", "nope=0.5"], ["link 'nope': expected a part"]),
    (["simulate", "good.json", "--degrade", "a=0.5@x"], ["--degrade 'a=0.5@x': time 'x'"]),
    (["simulate", "good.json", "--fail", "nope@1ms"], ["link 'nope': expected a part"]),
    (["simulate", "good.json", "--traffic", "a"], ["--traffic 'a': expected LINK=NUMBER"]),
    (["simulate", "good.json", "--pick", "9"], ["--pick 9: the plan file has plans 0 to 1"]),
    (["simulate", "nowhere.json", "--runs", "9"], ["nowhere.json: expected a plan file"]),
    (["simulate", "good.json", "--engine", "steam"], ["--engine 'steam'", "simpy, heap, array"]),
    (
        ["estimate", "mlp", "v100-quad", "--batch", "64", "--workers", "9"],
        ["more workers than the cluster has devices", "change"],
    ),
    (
        ["estimate", "mlp", "v100-quad", "--batch", "64", "--algorithm", "rong"],
        ["--algorithm 'rong'", f"known: {KNOWN}"],
    ),
    (
        ["estimate", "mlp", "v100-quad", "--batch", "64", "--workers", "2", "--bucket", "1 mile"],
        ["'1 mile'", "KiB"],
    ),
    (["models", "show", "lenet"], ["'lenet'", "did you mean lenet"]),
    (["models", "show", "mlp", "--samples", "inf"], ["--samples", "1000000000000, got 'inf'"]),
    (["hw", "show", "v101"], ["'v101'", "did you mean v100", " are known"]),
    (["hw", "calibrate", "--workers", "4096"], ["--workers 4096", "cores"]),
    (
        ["hw", "calibrate", "--dtype", "int8"],
        ["--dtype: expected float32 or float64", "got 'int8'"],
    ),
    (["hw", "calibrate", "--model", "mlp"], ["--model mlp: expected --quick beside it"]),
    (["data", "digits", "-o", "good.json"], ["good.json", "expected a folder"]),
    (["data", "pack", ".", "out.rec"], ["record file .", "directory", "correct the path"]),
    ([*PLAN, "64", "--fix", "workers=2", "--fix", "workers=4"], ["one value of workers", "got 2"]),
    ([*PLAN, "64", "--pareto", "time,time"], ["--pareto 'time,time': expected two objectives"]),
    ([*PLAN, "64", "--pareto", "time,cost", "--objective", "cost"], ["got --objective cost"]),
    ([*PLAN, "64", "--samples", "9", "--deadline", "2x"], ["--deadline: time '2x'", "another"]),
    (["bench", "plan", "--models", "lenet-6"], ["model 'lenet-6'", "did you mean lenet-5"]),
    (["execute", "good.json", "--gate", "3"], ["--gate 3: expected --check beside it"]),
    (
        ["what-if", "good.json", "--set", "latency=2x", "--set", "latency=3x"],
        ["--set latency: expected one value"],
    ),
    (["data", "digits", "--seed", "-1"], ["--seed", "0, got '-1'"]),
    (["data", "synthetic", "--shape", "3x?"], ["--shape '3x?'", "3x224x224"]),
    (["data", "synthetic", "--shape", "3x0"], ["shape: expected", ">= 1", "got (3, 0)"]),
    (["data", "synthetic", "--shape", "3", "-o", "good.json"], ["good.json", "expected a folder"]),
]


@pytest.mark.parametrize(("arguments", "says"), INSIDE)
def test_inside(arguments, says, refused):
    line = refused(arguments, inside=True)
    for part in says:
        assert part in line, line


SPOILED_FILES = {
    "truncated": (lambda text: text[: len(text) // 2], ["not whole JSON", "write it again"]),
    "empty": (lambda text: "", ["not whole JSON"]),
    "malformed": (lambda text: text.replace(":", ";", 1), ["not whole JSON"]),
    "a list": (lambda text: "[1, 2]", ["schema 1, got schema None"]),
    "another schema": (
        lambda text: text.replace('"schema": 1', '"schema": 7'),
        ["expected a plan file of schema 1, got schema 7", "this version"],
    ),
    "a wrong type": (
        lambda text: text.replace('"microbatch": 32', '"microbatch": "half"'),
        ["plans.0.plan.microbatch", "integer", "got 'half'"],
    ),
    "a field missing": (
        lambda text: text.replace('"overlap"', '"overlaps"', 1),
        ["plans.0.plan.overlap", "required"],
    ),
    "no plan": (lambda text: json.dumps(json.loads(text) | {"plans": []}), ["at least one plan"]),
    "another model": (
        lambda text: text.replace('"model": "mlp"', '"model": "mpl"'),
        ["model 'mpl'", "did you mean mlp"],
    ),
    "the model of another version": (
        lambda text: json.dumps(json.loads(text) | {"model_sha256": "0"}),
        ["has changed since", "plan again"],
    ),
    "a batch of 0": (
        lambda text: text.replace('"batch": 64', '"batch": 0'),
        ["training.batch", "at least 1", "got 0"],
    ),
    "another dtype": (
        lambda text: text.replace('"dtype": "float32"', '"dtype": "int8"'),
        ["training.dtype", "got 'int8'"],
    ),
    "a momentum of 2": (
        lambda text: text.replace('"momentum": 0.9', '"momentum": 2'),
        ["training.momentum", "below 1", "got 2"],
    ),
    "a device that is not there": (
        lambda text: text.replace('["core", "core"', '["core", "cpu"'),
        ["machine", "'cpu'", "plan again"],
    ),
}


@pytest.mark.parametrize("how", SPOILED_FILES)
def test_a_spoiled_plan_file(how, plans, folder, refused):
    spoil, says = SPOILED_FILES[how]
    text = spoil(plans)
    assert text != plans
    (folder / "edited.json").write_text(text)
    line = refused(EXECUTE, inside=True)
    for part in ["edited.json" if how != "another model" else "", *says]:
        assert part in line, line


EDITS = [
    ({"workers": 0}, ["workers must be at least 1, got 0"]),
    ({"workers": -2}, ["workers must be at least 1, got -2"]),
    ({"workers": 3}, ["the batch is not workers x microbatch"]),
    ({"workers": 8, "microbatch": 8}, ["more workers than the cluster has devices"]),
    ({"microbatch": 0}, ["microbatch must be at least 1, got 0"]),
    ({"microbatch": 24}, ["the batch is not workers x microbatch"]),
    ({"bucket_bytes": 0}, ["bucket_bytes must be at least 1, got 0"]),
    ({"algorithm": "rign"}, ["algorithm 'rign'", "did you mean ring"]),
    ({"algorithm": "none"}, ["algorithm 'none'", f"known: {KNOWN}"]),
    ({"placement": [1, 1]}, ["placement must name 2 different devices of 0 to 3, got [1, 1]"]),
    ({"placement": [0, 1, 1]}, ["placement must name 2 different devices", "[0, 1, 1]"]),
    ({"placement": [0, 4]}, ["placement must name 2 different devices of 0 to 3, got [0, 4]"]),
    ({"placement": []}, ["placement must name 2 different devices"]),
    ({"input_slots": 0}, ["load@0 can never start", "x@0", "give it at least 1"]),
    ({"activation_slots": 0}, ["can never start", "h1.y@0", "give it at least 1"]),
    ({"landing_slots": 0}, ["can never start", "landing.0@0", "give it at least 1"]),
    ({"input_slots": -1}, ["input_slots must be at least 0, got -1"]),
    ({"activation_slots": -1}, ["activation_slots must be at least 0, got -1"]),
    ({"landing_slots": -9}, ["landing_slots must be at least 0, got -9"]),
    ({"landing_slots": 10**20}, ["landing_slots must be at most 2147483647, got 1000000000"]),
    ({"input_slots": 10**9}, ["larger than a device's memory", "4.29 GB"]),
]


@pytest.mark.parametrize(("fields", "says"), EDITS, ids=lambda v: str(v) if type(v) is dict else "")
def test_a_plan_edited_into_nonsense(fields, says, edited, refused):
    edited(fields)
    line = refused(EXECUTE, inside=True)
    for part in ["edited.json: plan 'dp", *says]:
        assert part in line, line


def test_an_edited_plan_of_one_worker_names_no_algorithm(edited, refused):
    edited({"algorithm": "ring"}, index=1)
    line = refused([*EXECUTE, "--pick", "1"], inside=True)
    assert "algorithm 'ring': unknown; known: none" in line


def test_more_workers_than_cores_need_a_word(folder, plan_file, dp, refused, monkeypatch):
    write_record(folder / "wide.json", plan_file("mlp", BATCH, dp(4, 16)))
    monkeypatch.setattr("foreplan.machines.local_facts", one_core_facts)
    line = refused(["execute", "wide.json"], inside=True)
    assert "needs 4 cores, this machine has 1" in line
    assert "--oversubscribe" in line


def one_core_facts():
    from hwprofiles.local import LocalFacts

    return LocalFacts(cpu_model="x", cpus=(0,), physical_cores=1, memory_bytes=1 << 32)


def spoil_truncated(path, whole):
    path.write_bytes(whole[: len(whole) - 100])


def spoil_size(path, whole):
    import numpy as np

    write_records(path, np.zeros((100, 4, 4), np.uint8), np.zeros(100, int), classes=10, seed=0)


def spoil_magic(path, whole):
    path.write_bytes(b"PNG" + whole[3:])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_truncated, ["digits-train.rec: expected", "bytes, got", "write it again"]),
        (spoil_size, ["records of 'mlp' (8x8, bytes to 16", "digits-train.rec of 4x4", "run"]),
        (spoil_magic, ["digits-train.rec: expected the first bytes", "foreplan wrote"]),
    ],
)
def test_a_spoiled_data_file(spoil, says, folder, home, refused):
    data = folder / "data"
    shutil.copytree(home / "data", data)
    spoil(data / "digits-train.rec", (data / "digits-train.rec").read_bytes())
    line = refused(["execute", "good.json", "--pick", "1", "--data", data, "-o", "out.json"])
    for part in says:
        assert part in line, line


def test_costs_of_another_blas_are_refused_by_the_worker(folder, plans, refused):
    data = json.loads(plans)
    facts = {"device": "x", "lanes": 1, "blas_library": "abacus", "blas_version": "1"}
    facts |= {"blas_architecture": "wood", "blas_threads": 1, "kernels_sha256": "0"}
    data["machine"]["0"]["identity"] = facts | {"environment": {}, "context": {}}
    (folder / "edited.json").write_text(json.dumps(data))
    line = refused([*EXECUTE, "--pick", "1"])
    assert "measured with BLAS abacus 1 wood on 1 thread" in line
    assert "foreplan hw calibrate" in line


@pytest.mark.parametrize(
    ("done", "pareto"), [(3, []), (1, ["--pareto", "time,memory"])], ids=["best", "front"]
)
def test_a_search_that_is_interrupted_keeps_its_best(done, pareto, folder, monkeypatch, capsys):
    real = planner.search.predict
    calls = []

    def predict(*arguments):
        calls.append(arguments)
        if len(calls) > done:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(planner.search, "predict", predict)
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

    monkeypatch.setattr(planner.search, "predict", interrupt)
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


def test_the_functions_refuse_what_the_commands_refuse():
    from hwprofiles.errors import PlanError

    for wrong in (
        {"batch": 0},
        {"optimizer": "lion"},
        {"beta1": 0.5},
        {"dtype": "int8"},
        {"momentum": 1.0},
        {"learning_rate": -1.0},
    ):
        training = Training(**({"batch": 8} | wrong))
        with pytest.raises(PlanError, match=rf"training\.{next(iter(wrong))}: expected"):
            foreplan.plan("mlp", "v100-quad", training)
