"""Timing: sweeps of the stated size, ops bound to what they say, times above zero."""

import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import runtime.timing
from planner.layer import Layer
from planner.model import load_model
from planner.opcall import OpCall, Tensor
from planner.opsets import sentinels
from planner.registers import ALIGNMENT_BYTES
from planner.steps import add, load
from runtime.timing import (
    BLOCKS,
    LEAST_BLOCKS,
    SENTINEL_CALLS,
    WARM_UP,
    Sweeper,
    bound_call,
    cooler,
    message_loop,
    time_dispatch,
    time_op,
    time_sentinels,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A worker has one BLAS thread; more of them would only spin here."""
    with threadpool_limits(1):
        yield


class Ranks:
    """A communicator whose other ranks answer ``factor`` times what this one says."""

    rank = 0

    def __init__(self, factors=(1.0,)):
        self.factors, self.size, self.barriers = factors, len(factors), 0

    def Barrier(self):  # noqa: N802 - MPI's own name
        self.barriers += 1

    def allgather(self, value):
        return [factor * value for factor in self.factors]


def named(run, count):
    """Return ``run`` as so many kernels of a step."""
    return tuple((f"kernel.{i}", run) for i in range(count))


@pytest.mark.parametrize("touched", [0, 16, 1 << 10, (4 << 20) + 8])
def test_a_sweep_touches_what_it_says_half_read_half_written(touched):
    sweep = Sweeper(touched)
    sweep()
    assert sweep._source.nbytes == sweep._target.nbytes
    assert touched - 16 < sweep._source.nbytes + sweep._target.nbytes <= touched
    assert (sweep._target == 2).all()


def test_a_sweep_allocates_nothing():
    sweep = Sweeper(1 << 20)
    sweep()
    tracemalloc.start()
    sweep()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4096


def test_an_op_is_bound_to_the_arrays_that_its_call_names():
    call = add(1000, "float64")
    run, fresh = bound_call(call)
    arrays = run.args
    assert [(a.shape, str(a.dtype)) for a in arrays] == [
        (t.shape, t.dtype) for t in (*call.reads, *call.updates, *call.writes)
    ]
    assert sum(a.nbytes for a in arrays) == sum(t.size_bytes for t in call.tensors)
    assert [any(f is a for f in fresh) for a in arrays] == [True, False]
    total, other = arrays[1].copy(), arrays[0].copy()
    run()
    np.testing.assert_array_equal(arrays[1], total + other)


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_operands_lie_in_one_block_each_from_a_line_on(sizes):
    """As registers do in an arena: a kernel across two lines takes longer."""
    reads = tuple(Tensor(name=f"r{n}", shape=(n,), dtype="float32") for n in sizes)
    call = replace(add(8, "float32"), reads=reads, updates=())
    run, _ = bound_call(call)
    places = [array.ctypes.data for array in run.args]
    assert all(place % ALIGNMENT_BYTES == 0 for place in places)
    ends = [array.ctypes.data + array.nbytes for array in run.args]
    assert all(0 <= b - a < ALIGNMENT_BYTES for a, b in zip(ends, places[1:], strict=False))


def test_operands_are_random_but_the_same_every_time():
    first, again = (bound_call(add(64, "float32"))[0].args for _ in range(2))
    assert np.std(first[0]) > 0.01
    np.testing.assert_array_equal(first[0], again[0])


def test_a_loading_op_gets_its_fetch():
    out = Tensor(name="raw", shape=(4, 65), dtype="uint8")
    x = Tensor(name="x", shape=(4, 64), dtype="float32")
    labels = Tensor(name="labels", shape=(4,), dtype="int64")
    call = OpCall(
        kernel="load.records",
        op_class="load",
        dtype="float32",
        flop=0,
        writes=(x, labels, out),
        attrs=(("height", 8), ("width", 8)),
        settings=(("full_scale", 16),),
    )
    asked = []
    run, _ = bound_call(call, asked.append)
    run()
    assert len(asked) == 1
    assert asked[0].shape == (4, 65)


@pytest.mark.parametrize(("phase", "over"), [("forward", "x0"), ("input_grad", "dy")])
def test_an_op_in_place_writes_over_what_it_reads_and_finds_it_as_it_was(phase, over):
    """A gate would else shrink its maps, call by call."""
    gate = Layer(name="l", kind="gate", in_shapes=((3, 4, 4), (3, 1, 1)), inputs=("a", "b"))
    call = replace(gate.call(phase, 2, "float32"), in_place=True)
    run, _ = bound_call(call)
    assert call.reads[call.over].name == over
    assert run.args[len(call.reads)] is run.args[call.over]
    seen = []
    kernel = runtime.timing.backend("numpy").kernel(call.kernel)

    def watched(*arrays):
        seen.append(float(np.abs(arrays[call.over]).max()))
        kernel(*arrays)

    by = replace(runtime.timing.backend("numpy"), own={call.kernel: watched})
    time_op(replace(call, cold_code=True), Ranks(), by=by)
    timed = seen[WARM_UP + 1 :]
    assert timed == [seen[0]] * len(timed)


@pytest.mark.parametrize("phase", ["forward", "input_grad"])
@pytest.mark.parametrize(
    ("kind", "shapes"), [("lrn", [(3, 4, 4)]), ("gate", [(3, 4, 4), (3, 1, 1)])]
)
def test_an_op_bound_to_random_arrays_takes_no_root_below_zero(kind, shapes, phase):
    """A warning is an error here; the workspace is bound too."""
    layer = Layer(name="l", kind=kind, in_shapes=tuple(shapes), inputs=("a", "b")[: len(shapes)])
    run, _ = bound_call(layer.call(phase, 2, "float32"))
    run()
    assert all(np.isfinite(array).all() for array in run.args)


def test_before_an_op_caches_are_swept_and_its_kernel_runs_elsewhere(monkeypatch):
    call = replace(add(1000, "float32"), reuse_bytes=1 << 20)
    ran, swept = [], []
    kernel = runtime.timing.backend("numpy").kernel(call.kernel)

    def seen(*arrays):
        ran.append([id(array) for array in arrays])
        kernel(*arrays)

    by = replace(runtime.timing.backend("numpy"), own={call.kernel: seen})
    monkeypatch.setattr(runtime.timing, "Sweeper", lambda n: lambda: swept.append(n))
    run, _ = bound_call(call, by=by)
    cooler(call, by=by)()
    run()
    assert swept == [call.reuse_bytes]
    assert not set(ran[0]) & set(ran[1])


def test_code_is_left_warm_behind_other_kernels_unless_it_is_cold(monkeypatch):
    call, ran = replace(add(1000, "float32"), reuse_bytes=4096), []
    own = {call.kernel: lambda *arrays: ran.append("own")}
    by = replace(runtime.timing.backend("numpy"), own=own)
    monkeypatch.setattr(runtime.timing, "Sweeper", lambda n: lambda: ran.append("sweep"))
    other = named(lambda: ran.append("other"), 2)
    monkeypatch.setattr(runtime.timing, "others", lambda n, *, light: other)
    cooler(call, by=by)()
    assert ran == ["sweep", "own", "other", "other"]
    ran.clear()
    cooler(replace(call, cold_code=True), by=by)()
    assert ran == ["sweep"]


def test_what_decodes_records_is_swept_for_alone(monkeypatch):
    swept = []
    monkeypatch.setattr(runtime.timing, "Sweeper", lambda n: lambda: swept.append(n))
    cooler(replace(load(load_model("mlp"), 4, "float32"), reuse_bytes=4096))()
    assert swept == [4096]


@pytest.mark.parametrize(("takes_s", "blocks"), [(1.0, LEAST_BLOCKS), (0.2, 5), (0.01, BLOCKS)])
def test_an_op_that_takes_long_is_timed_less_often_on_all_ranks(takes_s, blocks, monkeypatch):
    """By a clock that each run of the kernel moves on; the slowest rank says for all."""
    now_s, marks = [0.0], []

    def slow(*arrays):
        now_s[0] += takes_s / 4

    call = add(8, "float32")
    by = replace(runtime.timing.backend("numpy"), own={call.kernel: slow})
    monkeypatch.setattr(runtime.timing.time, "perf_counter", lambda: now_s[0])
    found = time_op(call, Ranks((1.0, 2.0)), by=by, passed=lambda: marks.append(1))
    assert (found.repeats, len(marks)) == (2 * blocks, blocks)


def test_an_op_is_timed_above_zero_on_every_rank():
    call = add(5000, "float32")
    comm = Ranks((1.0, 3.0))
    sample = time_op(call, comm)
    assert sample.signature == call.signature
    assert (sample.flop, sample.moved_bytes) == (call.flop, call.moved_bytes)
    assert sample.median_s > 0
    assert sample.iqr_s >= 0
    assert sample.repeats == 2 * BLOCKS
    assert comm.barriers == 1


def test_more_work_takes_longer():
    small, large = (time_op(add(n, "float32"), Ranks()).median_s for n in (10_000, 1_000_000))
    assert large > 5 * small


def test_dispatch_is_timed_above_zero_and_far_below_an_op_of_a_step():
    assert 0 < time_dispatch() < 1e-3


def test_what_kernels_take_is_no_part_of_dispatch(monkeypatch):
    monkeypatch.setattr(runtime.timing, "others", lambda n: named(lambda: time.sleep(2e-3), 5))
    assert 0 < time_dispatch() < 1e-3


@given(after=st.lists(st.integers(1, 5), max_size=6))
def test_messages_are_waited_for_all_at_once(after):
    """Each is begun once, before any is asked for, and asked for until it has completed."""
    said = []

    class Message:
        def __init__(self, name, polls):
            self.name, self.left = name, polls

        def Start(self):  # noqa: N802 - MPI's own name
            said.append(("start", self.name))

        def Test(self):  # noqa: N802 - MPI's own name
            self.left -= 1
            return not self.left

    messages = [Message(i, polls) for i, polls in enumerate(after)]
    message_loop(messages).run()
    assert said == [("start", i) for i in range(len(after))]
    assert [m.left for m in messages] == [0] * len(after)


def test_sentinels_have_a_time_of_every_rank():
    calls = sentinels()
    found = time_sentinels(calls, Ranks((1.0, 2.0)))
    assert found.keys() == calls.keys()
    for first, second in found.values():
        assert first > 0
        assert second == pytest.approx(2 * first)
    assert SENTINEL_CALLS >= 100, "a median of few calls drifts by itself"
