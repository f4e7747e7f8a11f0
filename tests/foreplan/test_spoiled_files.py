"""Files that are torn, edited or of another machine: one sentence, and nothing is written."""

import json
import shutil

import pytest

from planner.records import write_record
from runtime.record_writer import write_records
from tests.foreplan.conftest import BATCH
from tests.foreplan.test_bad_input import KNOWN

pytestmark = pytest.mark.slow

EXECUTE = ["execute", "edited.json", "-o", "out.json"]
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
    line = refused(EXECUTE)
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
    line = refused(EXECUTE)
    for part in ["edited.json: plan 'dp", *says]:
        assert part in line, line


def test_an_edited_plan_of_one_worker_names_no_algorithm(edited, refused):
    edited({"algorithm": "ring"}, index=1)
    line = refused([*EXECUTE, "--pick", "1"])
    assert "algorithm 'ring': unknown; known: none" in line


def test_more_workers_than_cores_need_a_word(folder, plan_file, dp, refused, monkeypatch):
    write_record(folder / "wide.json", plan_file("mlp", BATCH, dp(4, 16)))
    monkeypatch.setattr("foreplan.machines.local_facts", one_core_facts)
    line = refused(["execute", "wide.json"])
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
