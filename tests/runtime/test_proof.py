"""Proof of the arena in a real run: what holds, and every fault that is seeded."""

from dataclasses import replace

import numpy as np
import pytest

from hwprofiles.errors import PlanError
from planner.layout import Place
from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from planner.registers import ALIGNMENT_BYTES
from runtime.bind import bind
from runtime.proof import STEPS, prove_arena
from runtime.voice import Voice

TRAINING = Training(batch=16)


class Alone:
    """A communicator of one rank."""

    rank, size = 0, 1

    def Barrier(self):  # noqa: N802 - MPI's own name
        pass


def no_stream(step, microbatch, task):
    raise AssertionError("no task of these models draws")


def fetch(step, microbatch, raw):
    rng = np.random.default_rng([step, microbatch])
    raw[:] = rng.integers(0, 10, raw.shape)


@pytest.fixture(scope="module")
def program(machine, dp):
    model, plan = load_model("lenet-5"), dp(1, 4)
    return lower(model, TRAINING, plan, machine.cluster(1), machine.books(1))


def proved(program, *, change=None):
    worker = bind(program, 0, Alone(), fetch, no_stream)
    parameters = worker.arena.slot("parameters", 0)
    parameters.view(np.float32)[:] = np.random.default_rng(1).normal(0, 0.1, parameters.size // 4)
    if change:
        change(worker)
    before = parameters.copy()
    held = prove_arena(worker, Alone(), Voice(0, lambda what: None))
    np.testing.assert_array_equal(parameters, before, "the state is set back")
    return held


@pytest.mark.parametrize("slots", [1, 2])
def test_a_step_needs_its_arena_and_no_more(slots, machine, dp):
    plan = dp(1, 4, activation_slots=slots, input_slots=slots)
    model = load_model("lenet-5")
    program = lower(model, TRAINING, plan, machine.cluster(1), machine.books(1))
    assert 0 < proved(program) < 1 << 20


def at_the_place_of(program, moved, other):
    """The program with one register moved to where another lies that is alive with it."""
    places = dict(program.layouts[0].places)
    places[moved] = Place(first_byte=places[other].first_byte, step_bytes=0)
    return replace(program, layouts=(replace(program.layouts[0], places=places),))


def test_an_overlap_is_refused_before_a_step_runs(program):
    with pytest.raises(PlanError, match=r"c3\.y@0.* share bytes"):
        proved(at_the_place_of(program, "c3.y", "c1_tanh.y"))


def test_a_register_that_is_read_after_it_was_freed_is_found_by_poison(program):
    """Only the poison can see it: the graph says that nobody reads the register any more."""
    graph, info = program.graph, program.tasks
    late = next(t for t, i in enumerate(info) if i.name == "c1.weight_grad")
    ptr, row = graph.in_ptr.copy(), graph.row("in", late)
    x = next(i for i in row if program.register_names[graph.out_idx[i]] == "x@0")
    at = int(ptr[late]) + row.index(x)
    ptr[late + 1 :] -= 1
    hasty = replace(graph, in_ptr=ptr, in_idx=np.delete(graph.in_idx, at))
    with pytest.raises(PlanError, match="other bits when freed registers are poisoned"):
        proved(replace(program, graph=hasty))


def test_an_arena_that_is_larger_than_needed_is_found(program):
    layout = replace(program.layouts[0], size_bytes=program.layouts[0].size_bytes + 64)
    with pytest.raises(PlanError, match="never writes to its end"):
        proved(replace(program, layouts=(layout,)))


def test_an_arena_that_is_too_small_is_found(program):
    layout = replace(program.layouts[0], size_bytes=program.layouts[0].size_bytes - ALIGNMENT_BYTES)
    with pytest.raises(PlanError, match="written behind its end"):
        proved(replace(program, layouts=(layout,)))


def test_an_arena_that_wastes_more_than_a_tenth_is_refused(program):
    layout = program.layouts[0]
    assert layout.live_bytes <= layout.size_bytes <= 1.10 * layout.live_bytes
    wasteful = replace(layout, live_bytes=int(layout.size_bytes / 1.11))
    with pytest.raises(PlanError, match="may be alive at once"):
        proved(replace(program, layouts=(wasteful,)))


def test_weight_that_is_allocated_beside_the_arena_is_found(program):
    def allocate(worker):
        firing = worker.loop._firings[3]

        def fire():
            np.zeros(1 << 21, dtype=np.uint8)
            firing.fire()

        firings = list(worker.loop._firings)
        firings[3] = replace(firing, fire=fire)
        worker.loop._firings = tuple(firings)

    with pytest.raises(PlanError, match=r"a step held 2\.\d+ MB beside it"):
        proved(program, change=allocate)
    assert STEPS > 1
