"""Messages of a device that does its work later: staged through the host, or group by group."""

import threading
from queue import SimpleQueue

import numpy as np
import pytest

from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from planner.program import TransferTask
from runtime.bind import bind
from runtime.cuda.messages import Direct, Issuer, Staged, StagedReceive, Stubs
from runtime.device import HostDevice
from runtime.initial import initial_parameters
from runtime.kernels import Stream
from runtime.replay import Replayed
from runtime.waves import groups_of, waves
from sim.heap_engine import simulate

TRAINING = Training(batch=32)


class Done:
    """An event of a lagging device: whoever asks lets the device do a little."""

    def __init__(self, device) -> None:
        self.device, self.happened = device, False

    @property
    def done(self) -> bool:
        self.device.progress(2)
        return self.happened


class Lagging(HostDevice):
    """Kernels and copies are queued, and done later, when somebody asks whether they are."""

    def __init__(self) -> None:
        super().__init__()
        self.compute: list = []
        self.copies: list = []

    def progress(self, most: int) -> None:
        """Do some copies that may go, then the oldest of what computes."""
        for _ in range(most):
            for entry in list(self.copies):
                after, work = entry
                if after is None or after.happened:
                    self.copies.remove(entry)
                    work()
            if self.compute:
                self.compute.pop(0)()

    def finish(self) -> None:
        while self.compute or self.copies:
            self.progress(8)

    def kernel(self, call):
        run = super().kernel(call)

        def queued(*arrays, **settings):
            self.compute.append(lambda: run(*arrays, **settings))

        return queued

    def mark(self):
        event = Done(self)
        self.compute.append(lambda: setattr(event, "happened", True))
        return event

    def pinned(self, like):
        return np.empty_like(like)

    def _copy(self, source, target, after):
        event = Done(self)

        def work():
            np.copyto(target, source)
            event.happened = True

        self.copies.append((after, work))
        return event

    def out(self, source, target):
        return self._copy(source, target, self.mark())

    def into(self, source, target, after):
        return self._copy(source, target, after)

    def move(self, source, target):
        return self._copy(source, target, self.mark())

    def like(self, array):
        return np.zeros_like(array)

    def messages(self, rank, comm, program):
        if isinstance(comm, Replayed):
            return Stubs(self, rank, comm.lasts_ns)
        return Staged(self, rank, comm)


class Wire:
    """Persistent messages between ranks that are threads of this process."""

    def __init__(self, rank, queues) -> None:
        self.rank, self.queues = rank, queues

    def Ssend_init(self, array, peer, tag):  # noqa: N802 - MPI's own name
        return WireMessage(self.queues[tag], array, is_send=True)

    def Recv_init(self, array, peer, tag):  # noqa: N802
        return WireMessage(self.queues[tag], array, is_send=False)


class WireMessage:
    def __init__(self, queues, array, *, is_send) -> None:
        self.there, self.back = queues
        self.array, self.is_send = array, is_send

    def Start(self):  # noqa: N802
        if self.is_send:
            self.there.put(self.array)

    def Test(self):  # noqa: N802
        if self.is_send:
            return not self.back.empty() and (self.back.get() or True)
        if self.there.empty():
            return False
        np.copyto(self.array, self.there.get())
        self.back.put(1)
        return True


@pytest.fixture(scope="module")
def program(machine, dp):
    plan = dp(2, 8, "ring", 100_000, overlap=True)
    return lower(load_model("mlp"), TRAINING, plan, machine.cluster(2), machine.books(2))


def queues_of(program):
    """By message: what is there, and what has been received."""
    tags = [t for t, i in enumerate(program.tasks) if isinstance(i, TransferTask)]
    return {tag: (SimpleQueue(), SimpleQueue()) for tag in tags}


def trained(program, devices, steps=2):
    """Parameters of every rank after some steps, each rank a thread."""
    queues = queues_of(program)
    rng = np.random.default_rng(0)
    raws = rng.integers(0, 10, (2, 2, 8, 65), dtype=np.uint8)
    start = initial_parameters(load_model("mlp"), "float32", 0)
    found = [np.empty(0)] * program.ranks

    def run(rank):
        device = devices[rank]

        def fetch(step, microbatch, raw):
            np.copyto(raw, raws[rank, microbatch])

        worker = bind(
            program, rank, Wire(rank, queues), fetch, lambda *key: Stream(0, 0, 0, 0), device=device
        )
        flat = worker.flat("parameters")
        flat[...] = start
        for _ in range(steps):
            worker.loop.run()
        device.finish()
        found[rank] = flat.copy()

    ranks = [threading.Thread(target=run, args=(rank,)) for rank in range(program.ranks)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join(20)
    assert not any(thread.is_alive() for thread in ranks)
    return found


def test_a_device_that_lags_behind_its_host_trains_the_same(program):
    expected = trained(program, [HostDevice(), HostDevice()])
    got = trained(program, [Lagging(), Lagging()])
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_receive_that_does_not_wait_for_the_device_is_seen(program, monkeypatch):
    """The comparison has teeth: a landing slot is written while it is still read, now and then."""
    expected = trained(program, [HostDevice(), HostDevice()])

    def start(self):
        self._free = Done(self._copies)
        self._free.happened = True
        self._copied = None
        self._message.Start()

    monkeypatch.setattr(StagedReceive, "Start", start)

    def differs():
        got = trained(program, [Lagging(), Lagging()])
        return any(not np.array_equal(a, b) for a, b in zip(got, expected, strict=True))

    assert any(differs() for _ in range(20))


class Happened:
    done = True


def test_groups_are_issued_in_their_order_whatever_gets_ready_first():
    issued: list[tuple[int, ...]] = []
    groups = ((4, 1), (2,), (3, 5))
    issuer = Issuer(groups, lambda tasks: issued.append(tasks) or Happened())
    rng = np.random.default_rng(0)
    for step in range(1, 6):
        for task in rng.permutation([1, 2, 3, 4, 5]).tolist():
            issuer.start(task)
        assert issued == list(groups) * step
        assert all(issuer.is_done(task) for task in range(1, 6))


def test_a_message_is_not_done_before_its_turn():
    issuer = Issuer(((1,), (2,)), lambda tasks: Happened())
    issuer.start(2)
    assert not issuer.is_done(2)
    issuer.start(1)
    assert issuer.is_done(2)


def test_every_message_goes_to_its_peer_once_a_step(program):
    order = waves(program, simulate(program.graph))
    calls: list[tuple] = []
    direct = Direct(
        0,
        order,
        program,
        lambda: calls.append(("begin",)),
        lambda array, peer: calls.append(("send", array, peer)),
        lambda array, peer: calls.append(("receive", array, peer)),
        lambda: calls.append(("end",)) or Happened(),
    )
    own = {
        t: info
        for t, info in enumerate(program.tasks)
        if isinstance(info, TransferTask) and 0 in info.ranks
    }
    requests = [direct.request(task, info, task) for task, info in own.items()]
    for request in requests:
        request.Start()
    assert all(request.Test() for request in requests)
    sent = [call for call in calls if len(call) == 3]
    assert sorted(sent, key=str) == sorted(
        (
            ("send" if info.src == 0 else "receive", task, info.dst if info.src == 0 else info.src)
            for task, info in own.items()
        ),
        key=str,
    )
    assert calls.count(("begin",)) == calls.count(("end",)) == len(groups_of(program, 0, order))


def test_a_replayed_message_lasts_from_when_the_device_comes_to_it(program):
    each_ns = 3_000_000
    alone = Replayed(1)
    own = [t for t in program.of_rank(1) if isinstance(program.tasks[t], TransferTask)]
    alone.let_last(dict.fromkeys(own, each_ns), holds=False)
    device = Lagging()
    worker = bind(
        program,
        1,
        alone,
        lambda step, microbatch, raw: raw.fill(3),
        lambda *key: Stream(0, 0, 0, 0),
        device=device,
    )
    worker.loop.run(traced=True)
    local = {task: i for i, task in enumerate(worker.tasks)}
    for task in own:
        i = local[task]
        assert worker.loop.end_ns[i] - worker.loop.start_ns[i] >= each_ns
    device.finish()
    assert worker.arena.is_intact
    assert not device.compute
    assert not device.copies
