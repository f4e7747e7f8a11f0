"""The arena: one block of the predicted size, views where they belong, a canary behind."""

import ctypes

import numpy as np
import pytest

from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from planner.program import ComputeTask, View
from planner.registers import ALIGNMENT_BYTES
from runtime.arena import CANARY, Arena


@pytest.fixture(scope="module")
def program(machine, dp):
    plan = dp(2, 4, bucket_bytes=100_000, overlap=True, activation_slots=2, landing_slots=2)
    model, cluster, books = load_model("lenet-5"), machine.cluster(2), machine.books(2)
    return lower(model, Training(batch=16), plan, cluster, books)


@pytest.fixture
def arena(program):
    return Arena(program, 1)


def views(program, rank):
    for info in program.tasks:
        if isinstance(info, ComputeTask):
            if info.rank == rank:
                yield from info.views
        elif rank == info.src:
            yield info.source
        elif rank == info.dst:
            yield info.target


def whole(register):
    """The view of a register's first slot, or of any other, as bytes."""
    return lambda slot: View(
        register=register.name,
        slot=slot,
        offset_bytes=0,
        shape=(register.slot_bytes,),
        dtype="uint8",
    )


def address(array):
    return array.__array_interface__["data"][0]


def test_its_size_is_the_formula_of_the_planner(program, arena):
    assert arena.size_bytes == program.arena_bytes(1)
    assert arena.size_bytes < sum(r.arena_bytes for r in program.registers[1])


def test_it_starts_as_zeros(program, arena):
    assert all(not arena.view(view).any() for view in views(program, 1))


def test_every_slot_starts_at_a_cache_line_and_lies_inside(program, arena):
    slots = [arena.view(whole(r)(s)) for r in program.registers[1] for s in range(r.slots)]
    assert all(address(slot) % ALIGNMENT_BYTES == 0 for slot in slots)
    ends = [address(slot) + slot.nbytes for slot in slots]
    assert min(map(address, slots)) == address(arena.last_line) + 64 - arena.size_bytes
    assert address(arena.last_line) < max(ends) <= address(arena.last_line) + 64


def test_a_slot_is_the_bytes_of_its_views(program, arena):
    for register in program.registers[1]:
        for slot in range(register.slots):
            found, view = arena.slot(register.name, slot), arena.view(whole(register)(slot))
            assert (address(found), found.nbytes) == (address(view), view.nbytes)


def test_every_view_lies_in_its_slot(program, arena):
    registers = {r.name: r for r in program.registers[1]}
    seen = 0
    for view in views(program, 1):
        array, slot = arena.view(view), arena.view(whole(registers[view.register])(view.slot))
        assert (array.shape, array.dtype) == (view.shape, np.dtype(view.dtype))
        assert array.flags.c_contiguous
        assert array.flags.aligned
        assert address(slot) <= address(array)
        assert address(array) + array.nbytes <= address(slot) + slot.nbytes
        seen += 1
    assert seen > 100


def test_a_view_is_the_memory_itself(program, arena):
    view = next(views(program, 1))
    arena.view(view)[...] = 1
    assert arena.view(view).all()


def test_filling_every_register_leaves_the_canary_alone(program, arena):
    for register in program.registers[1]:
        for slot in range(register.slots):
            arena.view(whole(register)(slot))[...] = 255
    assert arena.is_intact


@pytest.mark.parametrize("at", [0, 7, len(CANARY) - 1])
def test_the_canary_sees_one_byte_written_past_the_end(at, program, arena):
    end = address(arena.last_line) + ALIGNMENT_BYTES
    byte = ctypes.c_uint8.from_address(end + at)
    assert arena.is_intact
    byte.value ^= 1
    assert not arena.is_intact


def test_two_ranks_have_two_arenas(program):
    first, second = Arena(program, 0), Arena(program, 1)
    view = next(views(program, 0))
    first.view(view)[...] = 1
    assert not second.view(view).any()
