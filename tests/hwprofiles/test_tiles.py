"""Tiles and waves: counted out, and what a device makes of them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.device import Efficiency
from hwprofiles.efficiency import constants, stack_names, with_efficiency
from hwprofiles.parts import load_device
from hwprofiles.tiles import (
    HALF_REUSE,
    TILES,
    Chain,
    chained_frac,
    product,
    tiled_frac,
    transformed_frac,
)

SIDES = st.integers(1, 3000)
CORES = st.integers(1, 200)


def counted(rows, columns, cores, high, wide):
    """The share of the peak of a tile whose depth is not split, tile by tile."""
    area = [
        min(high, rows - i) * min(wide, columns - j)
        for i in range(0, rows, high)
        for j in range(0, columns, wide)
    ]
    waves = len(range(0, len(area), cores))
    reuse = high * wide / (high + wide)
    return sum(area) / (waves * cores * high * wide) * reuse / (reuse + HALF_REUSE)


@given(rows=SIDES, columns=SIDES, cores=CORES)
def test_a_shallow_product_is_its_tiles_counted_out(rows, columns, cores):
    best = max(counted(rows, columns, cores, *tile) for t in TILES for tile in (t, t[::-1]))
    assert tiled_frac((rows, columns, 1), cores) == pytest.approx(best)


@given(rows=SIDES, columns=SIDES, depth=SIDES, cores=CORES)
def test_a_deeper_product_never_fits_worse(rows, columns, depth, cores):
    shallow, deep = (tiled_frac((rows, columns, d), cores) for d in (1, depth))
    assert 0 < deep <= 1
    if depth < 512:
        assert deep == shallow


def test_one_tile_more_than_a_wave_costs_a_wave():
    """100 tiles of 128x128 fill 100 cores; a row more makes smaller tiles the better choice."""
    full, more = (tiled_frac((rows, 128, 128), 100) for rows in (12800, 12801))
    assert more < 0.85 * full


def test_phases_multiply_as_often():
    sides = [product(phase, 640, 32, 8) for phase in ("forward", "input_grad", "weight_grad")]
    assert {a * b * c for a, b, c in sides} == {640 * 32 * 8}
    assert sides[0] == (640, 8, 32)


def test_transforms_are_of_vector_units():
    v100 = load_device("v100-sxm2-16g")
    assert v100.shape_frac("float32", "conv_3x3", 64, None) == transformed_frac("conv_3x3", 64) < 1
    assert v100.shape_frac("float16", "conv_3x3", 64, None) == 1
    assert v100.cores == 80


@pytest.mark.parametrize("stack", stack_names())
def test_fused_ops_take_no_kernel_and_half_precision_moves_faster(stack):
    found = with_efficiency(load_device("v100-sxm2-16g"), stack).efficiency
    assert isinstance(found, Efficiency)
    fused = constants()["stacks"][stack]["fused"]
    assert found.elementwise_kernel_s == (0 if fused else found.kernel_s)
    narrow = constants()["units"]["matrix"]["narrow"]
    assert found.elementwise_frac["float16"] == pytest.approx(narrow * found.memory_frac)
    assert found.elementwise_frac["float32"] == found.memory_frac


def test_a_product_of_a_shape_that_fits_takes_the_peak_that_is_left():
    device = with_efficiency(load_device("v100-sxm2-16g"), "pytorch-containers")
    sides = (12800, 128, 128)
    bare, shaped = (
        device.curve("linear_forward", "float32", work_class="linear", product=p)
        for p in (None, sides)
    )
    assert shaped.flop_per_s == pytest.approx(bare.flop_per_s * tiled_frac(sides, device.cores))
    lone = replace(device, cores=1).curve(
        "linear_forward", "float32", work_class="linear", product=sides
    )
    assert lone.flop_per_s > shaped.flop_per_s


@given(rows=SIDES, samples=st.integers(1, 200), steps=st.integers(0, 200), cores=CORES)
def test_a_chain_takes_as_long_as_its_steps_one_after_the_other(rows, samples, steps, cores):
    """Rows of equal products, in units of one at the peak; no step is as no chain."""
    whole, small = ((n, 4096, 1024) for n in (rows, samples))
    taken = rows / tiled_frac(whole, cores) + steps * samples / tiled_frac(small, cores)
    found = chained_frac(whole, Chain(small, steps), cores)
    assert (rows + steps * samples) / found == pytest.approx(taken)
