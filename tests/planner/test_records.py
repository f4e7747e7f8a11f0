"""plan.json: what is written is what is read; every fault is one sentence; whole or not at all."""

import json
import math
import os
from dataclasses import replace
from functools import cache

import pytest

import foreplan
from hwprofiles.calibration import OpSample
from hwprofiles.costs import CostBook
from hwprofiles.device import OpCurve
from hwprofiles.errors import RecordError
from hwprofiles.grade import Grade
from planner.jsonable import to_jsonable
from planner.machine import Machine
from planner.model import load_model
from planner.opsets import plan_calls
from planner.plan import Training
from planner.predict import predict
from planner.records import (
    ClusterRecord,
    PlanFile,
    cluster_record,
    parse_record,
    plans_sha256,
    read_record,
    write_record,
    write_text,
)
from tests.planner_cases import case, cluster_of, device, link


@cache
def plan_file() -> PlanFile:
    return foreplan.plan("lenet-5", "v100-quad", Training(batch=32), top=3)


def measured_machine() -> Machine:
    """Two cores with a fitted curve, a capped link and some measured ops."""
    c = case()
    curve = OpCurve(flop_per_s=1e9, bytes_per_s=2e9, overhead_s=1e-7, grade=Grade.FITTED)
    core = device(holds=True, curves={"add/float32": curve})
    cluster = cluster_of(core, 2, "switch", link(cap=0.7e9, ramp_s=1e-6))
    ops = {
        name: OpSample(
            signature=name,
            op_class=call.op_class,
            dtype=call.dtype,
            flop=call.flop,
            moved_bytes=call.moved_bytes,
            median_s=1e-6 * (1 + i) / 3,
            iqr_s=1e-8,
            repeats=7,
            grade=Grade(i % 2),
        )
        for i, (name, call) in enumerate(plan_calls(c.model, c.training, c.plan).items())
        if i % 3
    }
    return Machine(
        name="cores",
        clusters={2: cluster},
        cost_books={2: {core.name: CostBook(device=core, ops=ops)}},
        identities={2: {"device": "core", "lanes": 2, "library": {"name": "blas"}}},
    )


# There and back


def test_a_plan_file_comes_back_as_it_went(tmp_path):
    path = tmp_path / "plan.json"
    write_record(path, plan_file())
    back = read_record(path, PlanFile, "a plan file")
    assert back == plan_file()
    assert parse_record(json.loads(path.read_text()), PlanFile, "here") == plan_file()
    write_record(tmp_path / "again.json", back)
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def measured_file() -> PlanFile:
    c, machine = case(), measured_machine()
    used = set(plan_calls(c.model, c.training, c.plan))
    record = cluster_record(machine, 2, used)
    return replace(plan_file(), cluster="cores", machine={2: record}, evidence=None)


def test_a_cluster_record_comes_back_as_it_went():
    record = measured_file().machine[2]
    assert record.ops[record.devices[0]], "some ops are measured"
    assert record.device_kinds[0].curves
    text = json.dumps(to_jsonable(record), allow_nan=False)
    assert parse_record(json.loads(text), ClusterRecord, "here") == record
    assert parse_record(json.loads(text), ClusterRecord, "here").links[0].overhead_s(1000) > 0


def test_a_shipped_cluster_predicts_the_same_from_its_file(tmp_path):
    write_record(tmp_path / "plan.json", plan_file())
    back = read_record(tmp_path / "plan.json", PlanFile, "a plan file")
    model, machine = load_model(back.model), back.to_machine()
    for ranked in plan_file().plans:
        assert predict(model, back.training, ranked.plan, machine)[0] == ranked.prediction


@pytest.mark.parametrize("change", [{}, {"algorithm": "star"}, {"overlap": True}], ids=str)
def test_a_measured_cluster_predicts_the_same_from_its_file(tmp_path, change):
    c, machine = case(**change), measured_machine()
    write_record(tmp_path / "plan.json", measured_file())
    back = read_record(tmp_path / "plan.json", PlanFile, "a plan file").to_machine()
    before, program, timeline = predict(c.model, c.training, c.plan, machine)
    after, again, replayed = predict(c.model, c.training, c.plan, back)
    assert after == before
    assert again.graph.sha256() == program.graph.sha256()
    assert replayed.end_ps.tolist() == timeline.end_ps.tolist()
    assert back.identities == machine.identities


def test_an_op_lost_on_the_way_would_change_the_prediction():
    c, record = case(), measured_file().machine[2]
    lost = replace(measured_file(), machine={2: replace(record, ops={})}).to_machine()
    with_ops = predict(c.model, c.training, c.plan, measured_machine())[0]
    assert predict(c.model, c.training, c.plan, lost)[0].step_s != with_ops.step_s


def test_an_infinite_field_is_left_out_and_comes_back():
    record = to_jsonable(replace(link(), source="x"))
    assert "flow_cap_bytes_per_s" not in record
    assert math.isinf(parse_record(record, type(link()), "here").flow_cap_bytes_per_s)
    assert parse_record(to_jsonable(link(cap=5.0)), type(link()), "here") == link(cap=5.0)


def test_editing_a_plan_changes_the_hash_of_the_plans_and_its_label_does_not():
    plans = plan_file().plans
    assert plans_sha256(plans) == plan_file().plans_sha256
    relabelled = (replace(plans[0], label="mine"), *plans[1:])
    edited = (replace(plans[0], plan=replace(plans[0].plan, landing_slots=2)), *plans[1:])
    assert plans_sha256(relabelled) == plan_file().plans_sha256
    assert plans_sha256(edited) != plan_file().plans_sha256
    assert plans_sha256(plans[::-1]) != plan_file().plans_sha256


# Faults


def fault(tmp_path, text: str | bytes) -> str:
    """Return what reading a file with this content says; one sentence that names the file."""
    path = tmp_path / "plan.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecordError) as caught:
        read_record(path, PlanFile, "a plan file")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def changed(**places: object) -> str:
    """Return the plan file as text with fields (dots as ``__``) changed."""
    data = to_jsonable(plan_file())
    for place, value in places.items():
        *folders, name = place.split("__")
        at = data
        for folder in folders:
            at = at[int(folder) if isinstance(at, list) else folder]
        if value is ...:
            del at[name]
        else:
            at[name] = value
    return json.dumps(data)


def test_an_unchanged_file_is_no_fault(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(changed())
    assert read_record(path, PlanFile, "a plan file") == plan_file()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"none\.json: expected a plan file, got No such file"):
        read_record(tmp_path / "none.json", PlanFile, "a plan file")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(RecordError, match=r"expected a plan file, got Is a directory"):
        read_record(tmp_path, PlanFile, "a plan file")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_not_whole_json(tmp_path, share):
    text = changed()
    assert "is not whole JSON" in fault(tmp_path, text[: int(share * len(text))])


def test_bytes_that_are_no_text_are_not_whole_json(tmp_path):
    assert "is not whole JSON" in fault(tmp_path, b"\xff\xfe{}")


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"schema": 2}', '{"schema": "1"}'])
def test_another_schema_is_told(tmp_path, text):
    assert fault(tmp_path, text).startswith("expected a plan file of schema 1, got schema ")


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ({"training": ...}, "training: field required"),
        ({"training__batch": "many"}, "training.batch: input should be a valid integer"),
        ({"training__batch": 2.5}, "training.batch: input should be a valid integer"),
        ({"plans": 3}, "plans: input should be a valid tuple"),
        ({"plans__0__plan__workers": None}, "plans.0.plan.workers: input should be"),
        ({"plans__1__plan__overlap": "perhaps"}, "plans.1.plan.overlap: input should be"),
        ({"plans__0__plan__placement": [0, "x"]}, "plans.0.plan.placement.1: input should be"),
        ({"machine__0__links": ...}, "machine.0.links: field required"),
        ({"certificate__simulated": "all"}, "certificate.simulated: input should be"),
        ({"plans__0__plan__input_slot": 2}, "plans.0.plan.input_slot: not a field"),
        ({"training__momentums": 2}, "training.momentums: not a field"),
        ({"comment": "mine"}, "comment: not a field"),
    ],
    ids=str,
)
def test_a_field_that_is_wrong_is_named(tmp_path, places, told):
    assert told in fault(tmp_path, changed(**places))


def test_a_part_that_cannot_be_is_told_by_name(tmp_path):
    link_place = "machine__0__links__0__bandwidth_bytes_per_s"
    message = fault(tmp_path, changed(**{link_place: -1.0}))
    assert message == "link 'nvlink-2-x1': bandwidth and cap must be > 0 bytes/s"


def test_many_faults_are_counted(tmp_path):
    names = ("workers", "microbatch", "algorithm", "overlap", "bucket_bytes")
    message = fault(tmp_path, changed(**{f"plans__0__plan__{name}": ... for name in names}))
    assert message.endswith(" and 2 more")


# Whole or not at all


def names_in(folder) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_record_replaces_the_one_before_it_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "plan.json"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["plan.json"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    write_text(tmp_path / "plan.json", "new")
    (tmp_path / "plain").write_text("new")
    assert (tmp_path / "plan.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_one_and_a_device_is_written_to(tmp_path):
    """Never renamed over: a terminal, a pipe and a disk that is full keep their names."""
    link, aim = tmp_path / "link.json", tmp_path / "aim.json"
    link.symlink_to(aim.name)
    write_text(link, "new")
    assert link.is_symlink()
    assert aim.read_text() == "new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 20) == b"through"
    os.close(reader)
    assert not pipe.is_file()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"none/plan\.json: cannot be written \(No such file"):
        write_record(tmp_path / "none" / "plan.json", plan_file())
    assert names_in(tmp_path) == []


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "plan.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    with pytest.raises(ValueError, match="Out of range float"):
        write_record(path, replace(plan_file(), training=Training(batch=1, momentum=math.nan)))
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["plan.json"]


def test_a_folder_that_takes_no_file_is_named_and_stays_empty(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):  # a superuser may write everywhere
        folder = tmp_path / "file"
        folder.write_text("no folder")
    with pytest.raises(RecordError, match="cannot be written"):
        write_text(folder / "plan.json", "new")
    if folder.is_dir():
        folder.chmod(0o700)
        assert names_in(folder) == []


def test_a_name_that_is_a_folder_is_told_and_nothing_is_left(tmp_path):
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(RecordError, match=r"plan\.json: cannot be written \(Is a directory"):
        write_text(tmp_path / "plan.json", "new")
    assert names_in(tmp_path) == ["plan.json"]
