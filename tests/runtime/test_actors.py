"""The actor loop: every legal order and no other, slots as credits, no spinning on a deadlock."""

import random
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwprofiles.errors import DeadlockError
from runtime.actors import (
    POLLS_BEFORE_SLEEP,
    POLLS_BEFORE_YIELD,
    SLEEP_S,
    ActorLoop,
    Firing,
)
from sim.checks import check_credits
from sim.graphbuilder import GraphBuilder
from tests.strategies import pipeline_graphs, task_graphs


class Message:
    """A message that completes some polls after it was started."""

    def __init__(self, polls, started):
        self.polls, self.started, self.left = polls, started, -1

    def Start(self):  # noqa: N802 - MPI's own name
        assert self.left == -1, "started twice in one step"
        self.left = self.polls
        self.started()

    def Test(self):  # noqa: N802 - MPI's own name
        assert self.left >= 0, "polled before it was started"
        if self.left:
            self.left -= 1
            return False
        self.left = -1
        return True


def loop_of(graph, polls=lambda: 0):
    """Return the loop of a whole graph on one worker, and the list of tasks as they start."""
    started = []
    readers = graph.item_readers()
    firings, own = [], []
    for task in range(graph.tasks):
        note = started.append if graph.route[task] == -1 else None
        begin = lambda t=task: started.append(t)  # noqa: E731
        firings.append(
            Firing(
                priority=int(graph.priority[task]),
                fire=begin if note else None,
                request=None if note else Message(polls(), begin),
                after=tuple(graph.row("dep", task)),
                writes=tuple(graph.row("out", task)),
                frees=tuple(graph.row("in", task)),
            )
        )
        own.append(tuple(range(graph.out_ptr[task], graph.out_ptr[task + 1])))
    loop = ActorLoop(
        firings,
        slots=graph.register_slots.tolist(),
        item_register=graph.out_idx.tolist(),
        item_readers=[len(r) for r in readers],
        own_items=own,
    )
    return loop, started


def check_trace(graph, loop):
    """Hold start and end of every task against dependencies and slots, knowing nothing else."""
    start, end = loop.start_ns, loop.end_ns
    for task in range(graph.tasks):
        assert 0 < start[task] <= end[task]
        assert all(end[d] <= start[task] for d in graph.row("dep", task))


def check_slots(graph, started):
    """Replay the order of starts, every earlier task complete: the most room there can be."""
    free, readers = graph.register_slots.tolist(), [len(r) for r in graph.item_readers()]
    for task in started:
        for register in graph.row("out", task):
            free[register] -= 1
            assert free[register] >= 0, f"task {task} took a slot that was not there"
        returned = graph.row("in", task)
        for item in returned:
            readers[item] -= 1
        items = range(graph.out_ptr[task], graph.out_ptr[task + 1])
        for item in {*items, *returned}:
            if not readers[item]:
                free[graph.out_idx[item]] += 1


def without_repeats(graph):
    """A program never writes one register twice in one task."""
    rows = [graph.row("out", task) for task in range(graph.tasks)]
    return all(len(set(row)) == len(row) for row in rows)


@settings(max_examples=150, deadline=None)
@given(graph=st.one_of(task_graphs(ordered_writers=True), pipeline_graphs()), seed=st.integers())
def test_what_can_finish_finishes_in_a_legal_order(graph, seed):
    assume(without_repeats(graph))
    rng = random.Random(seed)
    loop, started = loop_of(graph, polls=lambda: rng.randrange(6))
    try:
        check_credits(graph)
        can_finish = True
    except DeadlockError:
        can_finish = False
    sentence = ""
    try:
        loop.run(traced=True)
    except DeadlockError as error:
        sentence = str(error)
    if sentence:
        assert not can_finish
        assert f"{graph.tasks - len(started)} tasks wait" in sentence
        return
    assert sorted(started) == list(range(graph.tasks))
    check_trace(graph, loop)
    check_slots(graph, started)


@settings(max_examples=30, deadline=None)
@given(graph=pipeline_graphs(), seed=st.integers())
def test_every_step_is_a_fresh_one(graph, seed):
    loop, started = loop_of(graph)
    try:
        loop.run()
    except DeadlockError:
        assume(False)
    first = started.copy()
    started.clear()
    loop.run()
    assert started == first


def firing(task, log, **fields):
    return Firing(**({"priority": 0, "fire": lambda: log.append(task)} | fields))


def run(firings, slots=(), item_register=(), item_readers=(), own_items=None):
    loop = ActorLoop(firings, slots, item_register, item_readers, own_items or [()] * len(firings))
    loop.run()


def test_no_task_is_a_whole_step():
    run([])


def test_of_those_that_may_start_the_least_priority_goes_first_then_the_first_ready():
    log = []
    run([firing(i, log, priority=p) for i, p in enumerate([2, 0, 1, 0])])
    assert log == [1, 3, 2, 0]


def test_a_writer_waits_for_the_slot_that_its_reader_returns():
    log = []
    firings = [
        firing(0, log, writes=(0,)),
        firing(1, log, writes=(0,), priority=-1, after=(0,)),
        firing(2, log, after=(0,), frees=(0,), priority=5),
    ]
    run(firings, [1], [0, 0], [1, 0], [(0,), (1,), ()])
    assert log == [0, 2, 1]


def test_with_two_slots_it_does_not_wait():
    log = []
    firings = [
        firing(0, log, writes=(0,)),
        firing(1, log, writes=(0,), priority=-1, after=(0,)),
        firing(2, log, after=(0,), frees=(0,), priority=5),
    ]
    run(firings, [2], [0, 0], [1, 0], [(0,), (1,), ()])
    assert log == [0, 1, 2]


def test_a_slot_that_nobody_reads_returns_at_once():
    log = []
    firings = [firing(i, log, writes=(0,)) for i in range(3)]
    run(firings, [1], [0, 0, 0], [0, 0, 0], [(0,), (1,), (2,)])
    assert log == [0, 1, 2]


def test_a_slot_with_two_readers_returns_with_the_last():
    log = []
    firings = [
        firing(0, log, writes=(0,)),
        firing(1, log, after=(0,), frees=(0,)),
        firing(2, log, after=(0,), frees=(0,), priority=9),
        firing(3, log, writes=(0,), priority=5),
    ]
    run(firings, [1], [0, 0], [2, 0], [(0,), (), (), (1,)])
    assert log == [0, 1, 2, 3]


def test_kernels_run_while_a_message_is_under_way_and_its_dependent_waits():
    log = []
    firings = [
        Firing(priority=0, fire=None, request=Message(2, lambda: log.append("start"))),
        firing("after", log, after=(0,)),
        *(firing(i, log, priority=1) for i in range(4)),
    ]
    run(firings)
    assert log[:2] == ["start", 0]
    assert sorted(map(str, log)) == ["0", "1", "2", "3", "after", "start"]
    assert log.index("after") < log.index(3)


@pytest.mark.parametrize(
    ("fields", "slots"),
    [
        ([{"after": (1,)}, {"after": (0,)}], []),
        ([{"writes": (0,)}, {"after": (0,)}], [0]),
        ([{"writes": (0,)}, {"writes": (0,)}, {"after": (1,), "frees": (0,)}], [1]),
    ],
    ids=["dependencies", "no slot", "credits"],
)
def test_a_deadlock_raises_instead_of_spinning(fields, slots):
    items = [0, 0] if slots else []
    own = [(0,), (1,), ()][: len(fields)] if slots else None
    with pytest.raises(DeadlockError, match="tasks wait for each other or for a slot"):
        run([firing(i, [], **f) for i, f in enumerate(fields)], slots, items, [1, 1], own)


class Late:
    """A message that completes at some instant, however often it is asked for."""

    def __init__(self, wait_s):
        self.wait_s, self.end_s, self.polls = wait_s, 0.0, 0

    def Start(self):  # noqa: N802 - MPI's own name
        self.end_s = time.perf_counter() + self.wait_s

    def Test(self):  # noqa: N802 - MPI's own name
        self.polls += 1
        return time.perf_counter() >= self.end_s


def test_a_rank_that_waits_long_sleeps_between_two_looks():
    long = Late(0.5)
    begin_s = time.process_time()
    run([Firing(priority=0, fire=None, request=long)])
    assert time.process_time() - begin_s < 0.25
    assert long.polls < POLLS_BEFORE_SLEEP + 0.5 / SLEEP_S


def test_where_cores_are_shared_it_sleeps_sooner():
    short = Late(0.02)
    loop = ActorLoop([Firing(priority=0, fire=None, request=short)], [], [], [], [()])
    loop.polls_before_sleep = POLLS_BEFORE_YIELD
    loop.run()
    assert short.polls < POLLS_BEFORE_YIELD + 2 + 0.02 / SLEEP_S


def test_an_error_of_a_kernel_ends_the_step():
    def fail():
        raise FloatingPointError("overflow")

    with pytest.raises(FloatingPointError, match="overflow"):
        run([Firing(priority=0, fire=fail)])


def test_only_a_traced_step_notes_times():
    builder = GraphBuilder()
    builder.compute([builder.lane(0)], 1)
    loop, _ = loop_of(builder.build())
    loop.run()
    assert (loop.start_ns, loop.end_ns) == ([0], [0])
    loop.run(traced=True)
    assert 0 < loop.start_ns[0] <= loop.end_ns[0]


class Slow:
    """A message that takes 5 ms."""

    def Start(self):  # noqa: N802 - MPI's own name
        self.done_s = time.monotonic() + 5e-3

    def Test(self):  # noqa: N802 - MPI's own name
        return time.monotonic() >= self.done_s


def test_waiting_for_messages_is_told_from_work():
    """What the host takes to issue a step is the rest."""

    def work():
        time.sleep(2e-3)

    firings = [
        Firing(priority=0, fire=None, request=Slow()),
        Firing(priority=0, fire=work, after=(0,)),
        Firing(priority=0, fire=None, request=Slow(), after=(1,)),
    ]
    loop = ActorLoop(firings, slots=[], item_register=[], item_readers=[], own_items=[(), (), ()])
    start_ns = time.perf_counter_ns()
    loop.run()
    all_ns = time.perf_counter_ns() - start_ns
    assert 9e6 < loop.waited_ns < all_ns - 2e6
    seen = []
    loop.with_fires(lambda i, fire: lambda: seen.append((i, fire))).run()
    assert seen == [(1, work)]
