"""Which engine runs, and what it takes to start it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim import array_engine, engine, heap_engine
from sim.arrays import compiled, native
from sim.arrays.folder import cache_roots
from sim.arrays.layout import turn
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph


def random_graph(tasks: int) -> TaskGraph:
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    lanes, registers = [b.lane(i) for i in range(40)], [b.register(i, 3, 8) for i in range(9)]
    back = rng.integers(1, 200, (tasks, 2))
    after = np.maximum(np.arange(tasks)[:, None] - back, -1)
    b.computes(
        rng.choice(lanes, (tasks, 2)),
        rng.integers(0, 9, tasks),
        priority=rng.integers(0, 3, tasks),
        after=after,
        writes=rng.choice([*registers, -1, -1], tasks),
    )
    return b.build()


def all_to_all(ports: int) -> TaskGraph:
    b = GraphBuilder()
    links = [b.link(1e12) for _ in range(2 * ports)]
    for source in range(ports):
        for hop in range(1, ports):
            route = b.path([links[source], links[ports + (source + hop) % ports]])
            b.transfer([b.lane(source)], 0, payload_bytes=1000, route=route)
    return b.build()


def test_small_graphs_take_the_heap_engine_and_large_ones_the_array_engine():
    assert [engine.choose(tasks) for tasks in (0, 19_999, 20_000)] == ["heap", "heap", "array"]


def test_a_large_graph_gets_the_same_times_from_both():
    graph = random_graph(20_000)
    assert engine.simulate(graph).equals(heap_engine.simulate(graph))


def test_choosing_the_heap_engine_loads_no_numba():
    code = (
        "import sys; from sim.engine import simulate; from sim.graphbuilder import GraphBuilder;"
        "simulate(GraphBuilder().build()); print('numba' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


def test_a_synchronised_all_to_all_is_one_solve():
    timeline, counts = array_engine.simulate_counted(all_to_all(9))
    assert counts.solves == 1
    assert len(set(timeline.end_ps.tolist())) == 1


def test_flows_apart_are_solved_apart():
    b = GraphBuilder()
    for _ in range(3):
        route = b.path([b.link(1e12)])
        for payload in (10, 10, 40):
            b.transfer([b.lane(0)], 0, payload_bytes=payload, route=route)
    # Three links, each solved when the three flows start and when two of them end at once.
    assert array_engine.simulate_counted(b.build())[1].solves == 6


def test_a_task_of_the_array_engine_takes_at_most_64_bytes():
    b = GraphBuilder()
    lanes, tasks = np.array([b.lane(i) for i in range(10)]), 20_000
    after = np.maximum(np.arange(tasks)[:, None] - np.array([7, 3]), -1)
    b.computes(lanes[np.arange(tasks) % 10], np.arange(tasks), after=after)
    held = array_engine.simulate_counted(b.build())[1].held_bytes
    assert sum(held.values()) <= 64 * tasks
    assert held["fabric"] < tasks
    assert held["times"] == 16 * tasks


def test_columns_that_are_equal_are_kept_once():
    b = GraphBuilder()
    lanes, register = np.array([b.lane(i) for i in range(10)]), b.register(0, 2, 64)
    tasks = np.arange(100)
    b.computes(lanes[tasks % 10], 5, actor=tasks % 10, writes=np.full(100, register))
    graph = b.build()
    assert graph.actor is graph.lane_idx
    assert graph.lane_ptr is graph.out_ptr
    b.compute([9], 5, actor=8)
    graph = b.build()
    assert graph.actor is not graph.lane_idx
    assert graph.lane_ptr is not graph.out_ptr


def test_once_compiled_the_array_engine_loads_no_numba():
    array_engine.simulate(random_graph(10))
    code = (
        "import sys; from sim.array_engine import simulate;"
        "from sim.graphbuilder import GraphBuilder;"
        "b = GraphBuilder(); b.compute([b.lane(0)], 7);"
        "print(simulate(b.build()).makespan_ps, 'numba' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "7 False\n"


def test_that_an_engine_compiles_is_known_before(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "cache_folder", lambda *of: tmp_path)
    assert (engine.compiles("heap"), engine.compiles("array")) == (False, True)
    native._keep(array_engine.run._place(), "name", b"code")
    assert not engine.compiles("array")


def test_kept_code_that_is_damaged_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "cache_folder", lambda *of: tmp_path)
    found = turn.compiled()
    (place,) = tmp_path.iterdir()
    whole = place.read_bytes()
    place.write_bytes(whole[:-1])
    assert turn.compiled() == found
    assert place.read_bytes() == whole


def test_an_array_that_compiled_code_does_not_expect_is_refused():
    pointers, ids = np.zeros(1, dtype=np.int32), np.zeros(0, dtype=np.int32)
    with pytest.raises(AssertionError, match="start_ps"):
        turn((0, pointers, ids, np.zeros(0, dtype=np.int32), pointers, ids))


def test_compiled_code_is_kept_where_it_is_said():
    home = Path.home()
    assert cache_roots({"NUMBA_CACHE_DIR": "/n", "FOREPLAN_HOME": "/f"}) == [Path("/n")]
    assert cache_roots({"FOREPLAN_HOME": "/f", "XDG_CACHE_HOME": "/x"}) == [
        Path("/f/numba"),
        Path("/x/foreplan/numba"),
        home / ".cache/foreplan/numba",
    ]


def test_a_place_that_cannot_be_written_is_passed_over(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("FOREPLAN_HOME", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = compiled.cache_folder.__wrapped__()
    assert folder.parent == tmp_path / "foreplan" / "numba"
    assert folder.is_dir()


def test_without_any_place_the_code_is_compiled_all_the_same(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    assert compiled.cache_folder.__wrapped__() is None
    monkeypatch.setattr(compiled, "cache_folder", lambda *of: None)
    assert compiled.cached(compiled.type_of(1))(lambda x: x + 1)(1) == 2


def test_a_second_checkout_finds_the_code_of_the_first_unless_a_source_differs(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.setattr(compiled, "cache_folder", compiled.cache_folder.__wrapped__)
    for place, added, found in (("first", 1, 0), ("second", 1, 1), ("other", 2, 0)):
        source = tmp_path / place / "source.py"
        source.parent.mkdir()
        source.write_text(f"def more(x):\n    return x + {added}\n")
        names = {}
        exec(compile(source.read_text(), source, "exec"), names)
        more = compiled.cached(compiled.type_of(1))(names["more"])
        assert more(1) == 1 + added
        assert sum(more.stats.cache_hits.values()) == found, place


@pytest.mark.parametrize("name", engine.ENGINES)
def test_every_engine_can_be_named(name):
    assert engine.run(random_graph(50), name).equals(heap_engine.simulate(random_graph(50)))
