"""Files of a report: any order, each measurement with its plan, edited plans predicted anew."""

from dataclasses import replace

import pytest

import foreplan
from foreplan.api import read_cases
from hwprofiles.errors import RecordError
from planner.records import write_record
from tests.reports.cases import comparison, measurement, plan_file


@pytest.fixture
def files(tmp_path):
    """A star, a tree and a searched plan file, and a run of the last."""
    records = [case.plans for case in comparison()] + [measurement()]
    paths = [tmp_path / f"{name}.json" for name in ("star", "tree", "ring", "run")]
    for path, record in zip(paths, records, strict=True):
        write_record(path, record)
    return paths


def test_files_come_in_any_order_and_plans_keep_theirs(files):
    star, tree, ring, run = files
    found = read_cases([run, star, ring, tree])
    assert [case.name for case in found] == ["star", "ring", "tree"]
    assert [case.measured is not None for case in found] == [False, True, False]
    assert found[1].measured == measurement()


def test_a_measurement_alone_is_one_sentence(files):
    with pytest.raises(RecordError, match=r"run\.json: expected a plan file beside it"):
        read_cases(files[-1:])


def test_a_measurement_of_another_question_names_its_file(files):
    write_record(files[-1], replace(measurement(), model="mlp"))
    with pytest.raises(
        RecordError, match=r"run\.json: expected a run of lenet-5, got one of mlp; give"
    ):
        read_cases(files)


def test_an_edited_plan_is_predicted_anew(files):
    first = plan_file().plans[0]
    edited = replace(first, plan=replace(first.plan, overlap=not first.plan.overlap))
    write_record(files[2], replace(plan_file(), plans=(edited, *plan_file().plans[1:])))
    (found,) = read_cases([files[2]])
    assert found.best.plan == edited.plan
    assert found.best.prediction.graph_sha256 != first.prediction.graph_sha256
    assert found.replay is not None


def test_a_trace_is_written_from_plan_and_run(files, tmp_path):
    path = foreplan.trace(files[2], files[3], tmp_path / "trace.json", ranks=[0])
    assert '"measured: rank 0"' in path.read_text()


def test_a_second_plan_is_no_measurement(files, tmp_path):
    with pytest.raises(RecordError, match=r"tree\.json: expected a measurement, got a second plan"):
        foreplan.trace(files[0], files[1], tmp_path / "trace.json")
    assert not (tmp_path / "trace.json").exists()
