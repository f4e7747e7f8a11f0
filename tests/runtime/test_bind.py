"""Binding: every send meets its receive, every task its arrays, every register its items."""

from collections import Counter

import numpy as np
import pytest

from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from planner.program import ComputeTask
from runtime.bind import bind

TRAINING = Training(batch=48, dtype="float64")
PLANS = [
    (2, 24, "ring", 1 << 30, False),
    (3, 8, "ring", 100_000, True),
    (4, 12, "star", 100_000, True),
    (4, 6, "ring", 60_000, False),
]


class Messages:
    """A communicator that notes what is bound."""

    def __init__(self, rank):
        self.rank, self.sends, self.receives = rank, {}, {}

    def Ssend_init(self, array, peer, tag):  # noqa: N802 - MPI's own name
        assert (peer, tag) not in self.sends
        self.sends[peer, tag] = array
        return ("send", peer, tag)

    def Recv_init(self, array, peer, tag):  # noqa: N802 - MPI's own name
        assert (peer, tag) not in self.receives
        self.receives[peer, tag] = array
        return ("receive", peer, tag)


def nothing(step, microbatch, raw):
    raise AssertionError("nothing is loaded when a program is bound")


def no_stream(step, microbatch, task):
    raise AssertionError("nothing is drawn when a program is bound")


@pytest.fixture(scope="module", params=PLANS, ids=lambda plan: "-".join(map(str, plan)))
def bound(request, machine, dp):
    plan = dp(*request.param)
    cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
    program = lower(load_model("lenet-5"), TRAINING, plan, cluster, books)
    comms = [Messages(rank) for rank in range(plan.workers)]
    return program, comms, [bind(program, c.rank, c, nothing, no_stream) for c in comms]


def test_every_send_has_one_receive_of_the_same_bytes(bound):
    _, comms, _ = bound
    count = 0
    for comm in comms:
        for (peer, tag), array in comm.sends.items():
            other = comms[peer].receives.pop((comm.rank, tag))
            assert (other.shape, other.dtype) == (array.shape, array.dtype)
            count += 1
        assert comm.rank not in {peer for peer, _ in comm.sends}
    assert count > 0
    assert all(not comm.receives for comm in comms)


def test_a_send_goes_out_of_the_gradients_in_place(bound):
    program, comms, workers = bound
    for comm, worker in zip(comms, workers, strict=True):
        for (_, tag), array in comm.sends.items():
            info = program.tasks[tag]
            assert info.source.register == "gradients"
            assert np.shares_memory(array, worker.arena.view(info.source))


def test_every_rank_has_its_tasks_and_no_other(bound):
    program, _, workers = bound
    ranks = Counter(task for worker in workers for task in worker.tasks)
    for task, info in enumerate(program.tasks):
        assert ranks[task] == len(info.ranks)
    for worker in workers:
        for task, fire, request in zip(worker.tasks, worker.fires, worker.requests, strict=True):
            is_kernel = isinstance(program.tasks[task], ComputeTask)
            assert (fire is not None, request is None) == (is_kernel, is_kernel)


def test_a_kernel_gets_the_views_of_its_task_in_order(bound):
    program, _, workers = bound
    for worker in workers:
        for task, fire in zip(worker.tasks, worker.fires, strict=True):
            info = program.tasks[task]
            if isinstance(info, ComputeTask):
                assert len(fire.args) == len(info.call.tensors)
                for array, view, tensor in zip(
                    fire.args, info.views, info.call.tensors, strict=True
                ):
                    assert array.shape == tensor.shape
                    assert array.dtype == np.dtype(tensor.dtype)
                    expected = worker.arena.view(view)
                    assert array.__array_interface__ == expected.__array_interface__


def test_slots_are_those_of_the_rank_and_every_item_is_freed_by_all_its_readers(bound):
    program, _, workers = bound
    for worker in workers:
        loop = worker.loop
        slots = [r.slots for r in program.registers[worker.rank]]
        assert loop._slots == slots
        written = sum(len(f.writes) for f in loop._firings)
        assert written == len(loop._item_register)
        freed = Counter(item for f in loop._firings for item in f.frees)
        readers = dict(enumerate(loop._item_readers))
        assert all(freed[item] == count for item, count in readers.items())
