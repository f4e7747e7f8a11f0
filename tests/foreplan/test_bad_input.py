"""Bad input at the real command line: one line on stderr, the documented code, nothing written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import foreplan
from planner.plan import Training
from sim.graphbuilder import GraphBuilder
from sim.graphfile import write_graph

pytestmark = pytest.mark.slow

FULL = Path("/dev/full")

KNOWN = "double_binary_tree, halving_doubling, ring, sharded_star, star, tree"


PLAN = ["plan", "mlp", "v100-quad", "-o", "out.json", "--batch"]

PROCESSES = [
    # arguments, code, what the line must say
    (["execute", "nowhere.json"], 2, ["nowhere.json: expected a plan file", "check the path"]),
    (["bench", "ops", "--only", "abacus"], 2, ["--only 'abacus'", "matmul", "step"]),
    ([*PLAN, "-64"], 2, ["--batch: ", "1, got '-64'"]),
    ([*PLAN, "64", "--fix", "workers=3"], 4, [" the batch is not workers x", "change --batch"]),
    (["plan", "mlp", "local", "--batch", "64"], 2, ["cluster 'local'", "foreplan hw calibrate"]),
    (["report", "good.json", "bad-measurement.json", "-o", "out.html"], 2, ["bad-measurement"]),
    (["simulate", "credit-cycle.json"], 2, ["can never start", "slots", "give it"]),
]


@pytest.mark.parametrize(("arguments", "code", "says"), PROCESSES)
def test_as_a_process(arguments, code, says, folder, refused, tmp_path_factory):
    (folder / "bad-measurement.json").write_text('{"schema": 1, "step_s": "fast"}')
    write_cycles(folder)
    local = "local" in arguments
    at = {"at": tmp_path_factory.mktemp("empty")} if local else {}
    line = refused(arguments, code=code, process=True, **at)
    for part in says:
        assert part in line, line


@pytest.mark.skipif(not FULL.is_char_device(), reason="a device of Linux")
@pytest.mark.parametrize("words", [["hw", "list"], ["--version"]])
def test_a_full_disk_behind_the_output_is_one_sentence(words):
    """More than a buffer, and less than one, which is written as Python ends."""
    command = [sys.executable, "-m", "foreplan.cli", *words]
    with FULL.open("w") as full:
        ended = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "standard output: cannot be written (No space" in ended.stderr


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
    (["execute", "."], [".: expected a plan file", "directory", "check the path"]),
    (["execute", "good.json", "--pick", "-1"], ["--pick", "0, got '-1'", "execute --help"]),
    (["execute", "good.json", "--pick", "9"], ["--pick 9", "plans 0 to 1", "pick one"]),
    (
        ["execute", "good.json", "--data", "nowhere"],
        ["nowhere: expected one file *-train.rec", "found none", "foreplan data digits"],
    ),
    (["execute", "good.json", "--backend", "abacus"], ["backend 'abacus'", "numpy, onednn"]),
    ([*PLAN, "0"], ["--batch: ", "1, got '0'; see `foreplan plan --help`"]),
    ([*PLAN, "many"], ["--batch: ", "integer", "got 'many'"]),
    ([*PLAN, "99999999999999999999"], ["--batch: ", "2147483647"]),
    (
        ["plan", "lenet-6", "v100-quad", "--batch", "64"],
        ["did you mean lenet", "are known, `foreplan models list` names them"],
    ),
    (
        ["plan", "mlp", "v100-squad", "--batch", "64"],
        ["cluster 'v100-squad'", "did you mean v100-quad", " are known"],
    ),
    (["simulate", "dependency-cycle.json"], ["dependency cycle of 2 tasks", "b waits for a"]),
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
    ([*PLAN, "64", "--seq", "8"], ["--seq 8: expected a model that reads tokens, got 'mlp'"]),
    (["input", "good.json", "--apply", "--decode-workers", "2"], ["--decode-workers 2 too"]),
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
def test_inside(arguments, says, folder, refused):
    write_cycles(folder)
    line = refused(arguments)
    for part in says:
        assert part in line, line


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
