"""Issued wave by wave no message is ever stuck: on random plans, all else in any legal order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreplan.machines import load_machine
from planner.algorithms import algorithm_names
from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from planner.program import TransferTask
from runtime.waves import Wave, groups_of, waves
from sim.heap_engine import simulate


class Rendezvous:
    """All ranks of a program on streams that run in order; a group ends when its peers' have come.

    Each rank does its tasks in any order that dependencies and slots allow, ``rng`` choosing, but
    issues the groups in the order that it was given. A group is issued when all its messages may
    start here, takes its landing slots, and completes together with all that it meets.
    """

    def __init__(self, program, groups, rng) -> None:
        self.program, self.rng = program, rng
        self.groups = [list(of_rank) for of_rank in groups]
        graph = program.graph
        self.after = [set(graph.row("dep", t)) for t in range(graph.tasks)]
        self.done: set[int] = set()
        self.started: set[int] = set()
        self.issued: dict[int, int] = {}
        self.free = [int(n) for n in graph.register_slots]
        self.readers = [len(readers) for readers in graph.item_readers()]

    def run(self) -> list[int]:
        """Go on until nothing can; return the tasks that are stuck."""
        while moves := self.moves():
            moves[int(self.rng.integers(len(moves)))]()
        return sorted(set(range(self.program.graph.tasks)) - self.done)

    def may(self, task: int) -> bool:
        graph = self.program.graph
        return self.after[task] <= self.done and (
            task in self.started or all(self.free[r] > 0 for r in graph.row("out", task))
        )

    def take(self, task: int) -> None:
        if task not in self.started:
            self.started.add(task)
            for register in self.program.graph.row("out", task):
                self.free[register] -= 1

    def complete(self, task: int) -> None:
        graph = self.program.graph
        self.done.add(task)
        first = int(graph.out_ptr[task])
        written = [first + i for i in range(len(graph.row("out", task)))]
        for item in written:
            if not self.readers[item]:
                self.free[int(graph.out_idx[item])] += 1
        for item in graph.row("in", task):
            self.readers[item] -= 1
            if not self.readers[item]:
                self.free[int(graph.out_idx[item])] += 1

    def moves(self):
        found = []
        for task, info in enumerate(self.program.tasks):
            if isinstance(info, TransferTask) or task in self.done or not self.may(task):
                continue
            found.append(lambda task=task: (self.take(task), self.complete(task)))
        for rank, groups in enumerate(self.groups):
            if not groups or any(self.issued.get(t, 0) >> rank & 1 for t in groups[0]):
                continue
            if all(self.may(t) for t in groups[0]):
                found.append(lambda rank=rank: self.issue(rank))
        return found

    def issue(self, rank: int) -> None:
        for task in self.groups[rank][0]:
            self.take(task)
            self.issued[task] = self.issued.get(task, 0) | 1 << rank
        self.settle()

    def settle(self) -> None:
        """Complete every group all of whose messages both ends have issued."""
        moved = True
        while moved:
            moved = False
            for groups in self.groups:
                if groups and all(self.met(t) for t in groups[0]):
                    for task in groups.pop(0):
                        if task not in self.done:
                            self.complete(task)
                    moved = True

    def met(self, task: int) -> bool:
        info = self.program.tasks[task]
        return self.issued.get(task, 0) == (1 << info.src | 1 << info.dst)


PLANS = st.fixed_dictionaries(
    {
        "workers": st.integers(2, 4),
        "algorithm": st.sampled_from(algorithm_names()),
        "bucket_bytes": st.sampled_from([50_000, 100_000, 1 << 30]),
        "overlap": st.booleans(),
        "landing_slots": st.integers(1, 2),
        "activation_slots": st.integers(1, 2),
    }
)


def lowered(machine, dp, drawn):
    workers = drawn["workers"]
    training = Training(batch=8 * workers)
    plan = dp(**{"microbatch": 4, **drawn})
    program = lower(load_model("mlp"), training, plan, machine.cluster(4), machine.books(4))
    return program, waves(program, simulate(program.graph))


def groups(program, order):
    return [groups_of(program, rank, order) for rank in range(program.ranks)]


@pytest.fixture(scope="module")
def gpus():
    """Four devices whose messages leave them free to compute."""
    return load_machine("v100-quad")


@settings(max_examples=6, deadline=None)
@given(drawn=PLANS, seed=st.integers(0, 1000), on_gpus=st.booleans())
def test_no_message_is_ever_stuck(machine, gpus, dp, drawn, seed, on_gpus):
    program, order = lowered(gpus if on_gpus else machine, dp, drawn)
    messages = [t for t, i in enumerate(program.tasks) if isinstance(i, TransferTask)]
    assert sorted(t for wave in order for t in wave.tasks) == messages
    rng = np.random.default_rng(seed)
    assert Rendezvous(program, groups(program, order), rng).run() == []


@pytest.fixture(scope="module")
def ring(gpus, dp):
    drawn = {"workers": 3, "algorithm": "ring", "bucket_bytes": 100_000, "overlap": True}
    return lowered(gpus, dp, drawn)


def test_a_step_of_a_ring_is_one_wave(ring):
    """A send and a receive of each rank go at once, not one after the other."""
    program, order = ring
    sizes = [len(group) for group in groups(program, order)[0]]
    assert np.mean(sizes) > 1.9


def test_ranks_that_disagree_on_the_order_are_seen_to_wait_for_each_other(ring):
    """The fake has teeth: swapped groups on one rank, or one wave for all, are stuck."""
    program, order = ring
    rng = np.random.default_rng(0)
    swapped = groups(program, order)
    swapped[1] = (swapped[1][1], swapped[1][0], *swapped[1][2:])
    assert Rendezvous(program, swapped, rng).run()
    everything = (Wave(tuple(t for wave in order for t in wave.tasks)),)
    assert Rendezvous(program, groups(program, everything), rng).run()
