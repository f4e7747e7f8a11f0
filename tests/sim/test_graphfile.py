"""graph.json: what is written is read back, and every way to break it is one sentence."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from hwprofiles.errors import RecordError
from sim.graphbuilder import GraphBuilder
from sim.graphfile import read_graph, write_graph
from sim.heap_engine import simulate
from sim.taskgraph import TaskGraph
from tests.strategies import any_graphs


def small() -> TaskGraph:
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 1, 8)
    writer = b.compute([lane], 3, writes=[register])
    route = b.path([b.link(1e12)])
    b.transfer([lane], 1, payload_bytes=5, route=route, reads=[(writer, register)])
    return b.build()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_graph(tmp_path / "graph.json", small(), ["a", "b"])
    return tmp_path / "graph.json"


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=any_graphs())
def test_a_graph_survives_the_file_to_the_bit(tmp_path, graph):
    write_graph(tmp_path / "graph.json", graph)
    found = read_graph(tmp_path / "graph.json")
    assert found.graph.sha256() == graph.sha256()
    assert found.task_names is None
    assert found.label(0) == "task 0"


def test_names_survive_the_file(path):
    assert read_graph(path).task_names == ("a", "b")
    assert read_graph(path).label(1) == "b"


def test_equal_graphs_give_equal_files(path, tmp_path):
    write_graph(tmp_path / "again.json", small(), ["a", "b"])
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_writing_replaces_the_file_and_leaves_no_temporary(path):
    write_graph(path, small())
    assert read_graph(path).task_names is None
    assert [file.name for file in path.parent.iterdir()] == ["graph.json"]


def test_a_wrong_number_of_names_is_not_written(tmp_path):
    with pytest.raises(RecordError, match="expected 2 task names, got 1"):
        write_graph(tmp_path / "graph.json", small(), ["a"])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(RecordError, match=r"cannot be written \(No such file"):
        write_graph(tmp_path / "missing" / "graph.json", small())


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(RecordError, match=r"none\.json: expected a graph\.json, .*No such file"):
        read_graph(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000], ids=lambda c: repr(c[:8])
)
def test_what_is_not_json_is_one_sentence(path, content):
    path.write_bytes(content)
    with pytest.raises(RecordError, match="expected the JSON of a task graph"):
        read_graph(path)


def test_a_file_cut_short_anywhere_is_refused(path):
    text = path.read_text().rstrip()
    for length in range(0, len(text), 7):
        path.write_text(text[:length])
        with pytest.raises(RecordError, match="cut short"):
            read_graph(path)


BROKEN = [
    ([], 0, "expected schema_version 1, got None"),
    (["schema_version"], 2, "expected schema_version 1, got 2"),
    (["schema_version"], True, "expected schema_version 1, got True"),
    (["kind"], "plan", "kind: Input should be 'graph', got 'plan'"),
    (["extra"], 1, "extra: Extra inputs are not permitted"),
    (["task_names"], ["a"], "expected 2 names, one per task, got 1"),
    (["task_names"], [1, 2], r"task_names\.0: Input should be a valid string"),
    (["graph"], {}, r"expected the fields of a task graph, got none for \['actor', "),
    (["graph", "colour"], [], r"unknown \['colour'\]"),
    (["graph", "duration_ps"], 3, r"graph\.duration_ps: Input should be a valid list"),
    (["graph", "duration_ps"], [1.5, 1], r"graph\.duration_ps\.0: .* integer, got 1\.5"),
    (["graph", "duration_ps"], [True, 1], r"graph\.duration_ps\.0: .* integer, got True"),
    (["graph", "duration_ps"], [1, 2**63], r"graph\.duration_ps\.1: Input should be less than"),
    (["graph", "duration_ps"], [1], "payload_bytes has 2 entries, expected 1"),
    (["graph", "lane_idx"], [0, 4], r"task 1 needs lane_idx in 0\.\.0"),
    (["graph", "link_bytes_per_s"], [None], "link 0 needs a finite bandwidth"),
    (["graph", "link_bytes_per_s"], ["x"], r"graph\.link_bytes_per_s\.0"),
]


@pytest.mark.parametrize(("where", "value", "sentence"), BROKEN)
def test_a_broken_field_is_named_with_what_was_got(path, where, value, sentence):
    data = json.loads(path.read_text())
    target = data
    for key in where[:-1]:
        target = target[key]
    if where:
        target[where[-1]] = value
    path.write_text(json.dumps(data if where else value))
    with pytest.raises(RecordError, match=sentence) as raised:
        read_graph(path)
    assert "\n" not in str(raised.value)


def test_the_page_shows_a_graph_and_every_field(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "graph-files.md").read_text("utf-8")
    (shown,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "graph.json").write_text(shown)
    file = read_graph(tmp_path / "graph.json")
    assert simulate(file.graph).makespan_ps == 1000 + 500 + 10**6 + 2000  # 1000 B at 1 GB/s
    rows = {re.sub("_(ptr|idx)$", "", f.name) for f in fields(TaskGraph)}
    assert all(f"`{name}`" in page for name in rows)
