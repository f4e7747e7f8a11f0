"""The device of a GPU where there is none: its streams, events, copies, on fakes (`tests/fakes`).

Work that is queued there is done late and in any order that streams and events leave open.
"""

import importlib
import threading

import numpy as np
import pytest

from foreplan.machines import load_machine
from hwprofiles.errors import BackendUnavailable
from planner.algorithms import algorithm_names
from planner.layer import Layer
from planner.lower import lower
from planner.model import load_model
from planner.opcall import OpCall, Tensor
from planner.opsets import plan_calls
from planner.plan import Training
from planner.program import TransferTask
from runtime.arena import dtype_of, laid
from runtime.bind import bind
from runtime.device import HostDevice
from runtime.kernels import Stream, kernel
from runtime.op_timer import time_call
from runtime.parameters import read, set_first
from runtime.prefetch import Prefetch
from runtime.trial import Trial
from tests.runtime.test_cuda_messages import Wire, queues_of

STEPS = 2
BUCKET_BYTES = 4000
"""Of 14,480 bytes of its gradients."""


@pytest.fixture
def gpu(fake_gpu):
    """``runtime.cuda.device.CudaDevice``."""
    return importlib.import_module("runtime.cuda.device").CudaDevice


@pytest.fixture(scope="module")
def gpus():
    """Four devices whose messages leave them free to compute."""
    return load_machine("v100-quad")


def filled(step, microbatch, raw):
    raw[...] = np.random.default_rng([step, microbatch]).integers(0, 10, raw.shape, dtype=np.uint8)


def fetch_to(device, rank=0):
    """What fills records on a device."""

    def fetch(step, microbatch, raw):
        values = np.empty(raw.shape, np.uint8)
        filled(step, 8 * rank + microbatch, values)
        device.put(raw, values)

    return fetch


def begun(device, name, machine, dp, fetch, **changes):
    training = Training(batch=4, dtype="float64", learning_rate=0.01, **changes)
    model = load_model(name)
    program = lower(model, training, dp(1, 2), machine.cluster(1), machine.books(1))
    trial = Trial(model, training, program, device)
    trial.begin(fetch)
    return trial


def test_training_on_streams_ends_where_the_hosts_does(gpu, gpus, dp):
    host, device = HostDevice(), gpu()
    expected = begun(host, "lenet-5", gpus, dp, filled)
    trial = begun(device, "lenet-5", gpus, dp, fetch_to(device))
    assert trial.run(1, STEPS).loss == pytest.approx(expected.run(1, STEPS).loss, rel=1e-10)
    got, wanted = (read(t.worker, t.model, t.training) for t in (trial, expected))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-10)
    assert trial.worker.arena.is_intact
    assert device.notes == {
        f"convolution{key}": "no engine for doubles"
        for key in (note.removeprefix("convolution") for note in device.notes)
    }


def test_a_hundred_steps_ask_for_no_memory_and_hold_what_was_predicted(gpu, gpus, dp, tiny):
    device = gpu()
    shape = (2, load_model(tiny).record_bytes)

    def read_firing(firing, out):
        filled(*divmod(firing, 2), out)

    before = device.held_bytes
    with Prefetch([device.slot(shape) for _ in range(2)], read_firing) as ahead:
        trial = begun(device, tiny, gpus, dp, ahead.fetch)
        arena = trial.program.arena_bytes(0)
        trial.run(1, 2)
        held, taken = device.held_bytes, device.taken
        assert arena < held - before < arena + (1 << 20), "beside it: scratch and two slots"
        trial.run(1, 100)
        assert (device.held_bytes, device.taken) == (held, taken)
        device.allocate(1)
        assert device.taken == taken + 1, "what is asked for is seen"
    expected = begun(HostDevice(), tiny, gpus, dp, filled)
    expected.run(1, 102)
    got, wanted = (read(t.worker, t.model, t.training) for t in (trial, expected))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9)
    device.release()


class PerThread(threading.local):
    """Engines as processes have them: one each."""

    def __init__(self):
        self.found = []

    def __getattr__(self, name):
        return getattr(self.found, name)

    def __bool__(self):
        return bool(self.found)

    def __getitem__(self, at):
        return self.found[at]


class Ranks:
    """What MPI does for ranks that are threads."""

    def __init__(self, size):
        self.size, self.barrier, self.said = size, threading.Barrier(size, timeout=30), {}

    def of(self, rank, queues):
        return Rank(self, rank, queues)


class Rank(Wire):
    def __init__(self, ranks, rank, queues):
        super().__init__(rank, queues)
        self.ranks = ranks

    def allgather(self, value):
        self.ranks.said[self.rank] = value
        self.ranks.barrier.wait()
        found = [self.ranks.said[rank] for rank in range(self.ranks.size)]
        self.ranks.barrier.wait()
        return found

    def bcast(self, value):
        return self.allgather(value)[0]


def together(device_of, model, program, training):
    """Parameters of every rank after some steps, and notes; each rank is a thread."""
    ranks, queues = Ranks(program.ranks), queues_of(program)
    found, faults = {}, []

    def run(rank):
        try:
            device = device_of(rank)
            worker = bind(
                program,
                rank,
                ranks.of(rank, queues),
                filled_of(device, rank),
                lambda *key: Stream(0, 0, 0, 0),
                device=device,
            )
            set_first(worker, model, training)
            ranks.barrier.wait()
            for step in range(STEPS):
                worker.step[0] = step
                worker.loop.run()
            found[rank] = (read(worker, model, training), dict(device.notes))
        except BaseException as fault:
            faults.append(fault)
            ranks.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(program.ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert not faults, faults
    return [found[rank] for rank in range(program.ranks)]


def filled_of(device, rank):
    if not device.is_host:
        return fetch_to(device, rank)
    return lambda step, microbatch, raw: filled(step, 8 * rank + microbatch, raw)


NUMBERED = ("hierarchical:2", "hierarchical_halving:2", "torus:2x2")
WAYS = [(name, True) for name in (*algorithm_names(), *NUMBERED)] + [("ring", False)]


@pytest.mark.parametrize(("algorithm", "nccl"), WAYS)
def test_ranks_exchange_by_groups_of_nccl_or_through_the_host(
    algorithm, nccl, gpu, gpus, dp, tiny, monkeypatch, capsys
):
    monkeypatch.setattr("runtime.cuda.engine._current", PerThread())
    monkeypatch.setattr("cupy.cuda.DEVICES", 4)
    training = Training(batch=16, dtype="float64", learning_rate=0.01)
    plan, model = dp(4, 4, algorithm, BUCKET_BYTES, overlap=True), load_model(tiny)
    program = lower(model, training, plan, gpus.cluster(4), gpus.books(4))
    expected = together(lambda rank: HostDevice(), model, program, training)
    got = together(lambda rank: gpu(place=rank, nccl=nccl), model, program, training)
    why = {} if nccl else {"messages": "through the host, for NCCL is not there, or not wanted"}
    for (parameters, notes), (wanted, _) in zip(got, expected, strict=True):
        np.testing.assert_allclose(parameters, wanted, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(parameters, got[0][0])
        assert notes == why
    assert ("messages go through the host" in capsys.readouterr().err) is not nccl


def test_ranks_that_share_a_gpu_go_through_the_host_and_say_so(gpu, gpus, dp, tiny, monkeypatch):
    monkeypatch.setattr("runtime.cuda.engine._current", PerThread())
    training, model = Training(batch=8, dtype="float64"), load_model(tiny)
    program = lower(model, training, dp(2, 4, "ring"), gpus.cluster(2), gpus.books(2))
    got = together(lambda rank: gpu(place=rank), model, program, training)
    assert got[0][1] == {"messages": "through the host, for ranks share a GPU"}


def test_a_replayed_rank_waits_as_long_as_predicted(gpu, gpus, dp, tiny):
    training = Training(batch=16, dtype="float64")
    plan = dp(4, 4, "ring", BUCKET_BYTES, overlap=True)
    model = load_model(tiny)
    program = lower(model, training, plan, gpus.cluster(4), gpus.books(4))
    device = gpu()
    trial = Trial(model, training, program, device, rank=1)
    trial.begin(fetch_to(device))
    trial.worker.loop.run(traced=True)
    own = [
        i for i, t in enumerate(trial.worker.tasks) if isinstance(program.tasks[t], TransferTask)
    ]
    assert own
    loop = trial.worker.loop
    predicted = trial.worker.messages._lasts_ns
    for i in own:
        assert loop.end_ns[i] - loop.start_ns[i] >= predicted[trial.worker.tasks[i]]
    assert trial.worker.messages.alone(program)


def test_an_op_is_timed_on_the_device_and_its_issue_on_the_host(gpu, dp, tiny):
    device = gpu()
    calls = plan_calls(load_model(tiny), Training(batch=4, dtype="float64"), dp(1, 4))
    call = next(call for call in calls.values() if call.kernel == "tanh.forward")
    found = time_call(device, call, blocks=2)
    assert found.issue_s > 0
    assert found.sample.median_s > 0
    begin = device.now()
    device.hold(2e-3)
    device.finish()
    assert device.now().seconds_since(begin) >= 2e-3


def test_products_round_as_the_training_says(gpu):
    device = gpu()
    engine = importlib.import_module("runtime.cuda.engine").engine()
    for dtype, rounds in (("tf32", True), ("float32", False)):
        device.compute_as(dtype)
        assert engine.tf32 is rounds


# The library's convolutions and attention


def layer(kind, *in_shapes, **attrs):
    return Layer(
        name=kind, kind=kind, in_shapes=in_shapes, inputs=("a",), attrs=tuple(attrs.items())
    )


LIBRARY = [
    (layer("conv2d", (6, 9, 8), channels=4, kernel=3, pad=1, groups=2, bias=0), "float32", 1e-5),
    (layer("conv2d", (6, 9, 8), channels=5, kernel=3, kernel_w=2, pad=1, pad_w=0, stride=2, bias=0),
     "float16", 1e-2),
    (layer("attention", (5, 24), heads=2, causal=1), "float16", 1e-2),
    (layer("attention", (5, 24), heads=2, causal=0), "bfloat16", 5e-2),
]  # fmt: skip


@pytest.mark.parametrize(("of", "dtype", "error"), LIBRARY)
def test_a_kernel_of_the_library_gives_what_numpy_gives(of, dtype, error, gpu):
    device, rng = gpu(), np.random.default_rng(0)
    phases = [p for p in ("forward", "weight_grad", "input_grad") if hasattr(of.module, p)]
    values: dict[str, np.ndarray] = {}
    for phase in phases:
        call: OpCall = of.call(phase, 2, dtype)
        ours = {}
        for t in call.tensors:
            drawn = rng.normal(size=t.shape).astype(dtype_of(dtype)).astype(float)
            ours[t.name] = values.get(t.name, drawn).copy()
        theirs = {}
        for t in call.tensors:
            flat = device.allocate(t.size_bytes).view(dtype_of(dtype))
            theirs[t.name] = laid(flat, t.shape, device.order(t))
            device.put(theirs[t.name], ours[t.name])
        how = dict(call.attrs)
        kernel(call.kernel)(*(ours[t.name] for t in call.tensors), **how)
        device.kernel(call)(*(theirs[t.name] for t in call.tensors), **how)
        for t in call.writes:
            got, wanted = device.get(theirs[t.name]).astype(float), ours[t.name]
            largest = np.abs(wanted).max()
            np.testing.assert_allclose(got, wanted, atol=error * largest, err_msg=phase, rtol=0)
            values[t.name] = wanted
        values |= {t.name: ours[t.name] for t in call.reads}
    assert device.notes == {}
    assert set(device_plans()) == {name for name in device_plans() if name.startswith(KINDS)}
    assert len(device_plans()) >= len(phases)


KINDS = ("convolution", "attention")


def device_plans():
    return importlib.import_module("runtime.cuda.engine").engine().plans


def test_without_the_library_the_device_says_so_and_goes_on(gpu, monkeypatch, capsys):
    monkeypatch.setattr("cudnn.create_handle", lambda: (_ for _ in ()).throw(OSError("no\nlib")))
    device = gpu()
    assert device.notes == {"cudnn": "missing"}
    assert device_plans() == {}
    engine, x = importlib.import_module("runtime.cuda.engine").engine(), device.allocate(8)
    assert not engine.convolve("forward", x, x, x, (1, 0, 0, 1))
    assert not engine.attend("forward", (x.view(np.float16),), 1, causal=True)
    assert "cuDNN is not to be had (no lib)" in capsys.readouterr().err


def test_versions_are_those_of_what_is_there(gpu):
    backend = importlib.import_module("runtime.cuda.backend")
    found = backend.versions()
    assert found["name"] == "Fake GPU"
    assert {"cudnn", "nccl", "cupy", "driver"} <= found.keys()
    assert importlib.import_module("runtime.backends.cuda").library().endswith("Fake GPU")
    assert len(backend.sources_sha256()) == 64


def test_a_machine_without_a_gpu_says_so(gpu, monkeypatch):
    backend = importlib.import_module("runtime.cuda.backend")
    monkeypatch.setattr("cupy.cuda.is_available", lambda: False)
    backend.missing.cache_clear()
    with pytest.raises(BackendUnavailable, match=r"^backend 'cuda': CuPy .* finds no CUDA device"):
        gpu()
    with pytest.raises(BackendUnavailable, match=r"^CUDA backend: CuPy .* finds no CUDA device"):
        importlib.import_module("runtime.cuda.engine").engine()


def test_what_a_pipeline_has_decoded_is_brought_while_earlier_ones_still_leave(gpu):
    """Two places in pinned memory for each size: none is written before it has left."""
    device, rng = gpu(), np.random.default_rng(0)
    of = [Tensor(name="x", shape=(3, 4, 5, 2), dtype="float64")]
    of.append(Tensor(name="labels", shape=(2,), dtype="int64"))
    sent = [[(rng.random(t.shape) * 9).astype(t.dtype) for t in of] for _ in range(5)]
    there, copy = [], importlib.import_module("runtime.cuda.backend").kernel("input.copy")
    for arrays in sent:
        flat = [device.allocate(t.size_bytes).view(t.dtype) for t in of]
        there.append([laid(f, t.shape, device.order(t)) for f, t in zip(flat, of, strict=True)])
        given = [a.copy() for a in arrays]
        copy(*given, *there[-1])
        for array in given:
            array.fill(0)  # the pipeline has its slot back
    for arrays, found in zip(sent, there, strict=True):
        for array, target in zip(arrays, found, strict=True):
            np.testing.assert_array_equal(device.get(target), array)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "tf32"])
def test_products_of_matrices_are_told_to_the_library(dtype, gpu):
    device = gpu()
    device.compute_as(dtype)
    engine, rng = importlib.import_module("runtime.cuda.engine").engine(), np.random.default_rng(0)
    kind = dtype_of(dtype)
    arrays = []
    for shape in ((2, 3, 4), (2, 4, 5), (2, 3, 5)):
        arrays.append(device.allocate(int(np.prod(shape)) * kind.itemsize).view(kind))
        arrays[-1] = arrays[-1].reshape(shape)
        device.put(arrays[-1], rng.normal(size=shape).astype(kind))
    a, b, out = arrays
    engine.matmul(a, b, out)
    expected = device.get(a).astype(float) @ device.get(b).astype(float)
    np.testing.assert_allclose(device.get(out).astype(float), expected, rtol=2e-2, atol=2e-2)
    assert engine.scratch("x", 3, dtype if dtype != "tf32" else "float32").dtype == kind


def test_what_the_library_refuses_once_it_is_not_asked_again(gpu):
    device = gpu()
    of = layer("conv2d", (2, 4, 13), channels=2, kernel=3, pad=1, bias=0)
    call = of.call("forward", 1, "float32")
    flat = [device.allocate(t.size_bytes).view("float32") for t in call.tensors]
    engine = importlib.import_module("runtime.cuda.engine").engine()
    pairs = zip(flat, call.tensors, strict=True)
    arrays = [laid(array, t.shape, device.order(t)) for array, t in pairs]
    for _ in range(2):
        assert not engine.convolve("forward", *arrays[:3], (1, 1, 1, 1))
    assert list(device.notes.values()) == ["no engine for such rows"]
    assert not engine.attend("forward", (arrays[0],), 1, causal=False), "for halves alone"


def test_messages_that_can_go_alone_are_the_fewest(gpu, gpus, dp, tiny):
    """Through the host each by itself; by NCCL a wave."""
    from runtime.cuda.messages import Direct, Staged
    from runtime.waves import waves
    from sim.heap_engine import simulate

    plan = dp(2, 4, "ring", BUCKET_BYTES, overlap=True)
    program = lower(load_model(tiny), Training(batch=8), plan, gpus.cluster(2), gpus.books(2))
    messages = [t for t, i in enumerate(program.tasks) if isinstance(i, TransferTask)]
    staged = Staged(gpu(), 0, None).alone(program)
    assert sorted(staged) == [(t,) for t in messages]
    order = waves(program, simulate(program.graph))
    calls = (lambda *given: None,) * 4
    direct = Direct(0, order, program, *calls).alone(program)
    assert sorted(t for group in direct for t in group) == messages
    assert len(direct) < len(staged)
