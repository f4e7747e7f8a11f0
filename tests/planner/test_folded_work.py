"""Lanes and links, told by a few ranks that stand for all: never busier than all ranks tell."""

import numpy as np
import pytest

from foreplan.machines import load_machine
from planner.collectives.base import Prices
from planner.crossings import Routes
from planner.exchange_work import work_of
from planner.folded_work import folded_work
from planner.piece_prices import transfer_prices

RANKS, SIZES = 32, [1, 100, 4_099, 3 * 2**20, 1_000_003]
RINGS = ("multi_ring:2", "multi_ring:4", "multi_ring:8x1x8")
NAMES = ("ring", "halving_doubling", "sharded_star", *RINGS)
PLACEMENTS = (
    tuple(range(RANKS)),
    tuple(node * 8 + device for device in range(8) for node in range(4)),
)


def question(name: str, placement: tuple[int, ...], holds_compute: bool) -> tuple:
    cluster = load_machine("dgx-1-v100:4").cluster(RANKS)
    prices = Prices(
        ranks=RANKS,
        transfer_ps=transfer_prices(placement, cluster, "float32"),
        add_ps=lambda _, elements: 3 * elements,
        holds_compute=holds_compute,
    )
    routes = Routes(cluster=cluster, placement=placement, item_bytes=4)
    return name, SIZES, prices, lambda elements: 5 * elements, routes


@pytest.mark.parametrize("holds_compute", [False, True])
@pytest.mark.parametrize("placement", PLACEMENTS, ids=["packed", "spread"])
@pytest.mark.parametrize("name", NAMES)
def test_a_few_ranks_never_tell_more_than_all(name, placement, holds_compute):
    asked = question(name, placement, holds_compute)
    told, every = folded_work(*asked), work_of(*asked)
    if told is None:
        assert name == "sharded_star"  # every pair of ranks has its own rate
        return
    few, all_of = (np.array([w.rest_ps([n]) for n in SIZES]) for w in (told, every))
    assert (few <= all_of).all()
    assert (few[3:] >= 0.99 * all_of[3:]).all(), "wide blocks are nearly as wide as the narrowest"
    assert few[3] > 0
    assert all(told.busiest_ps([n]) <= every.busiest_ps([n]) for n in SIZES)
    order = [every.sizes[n] for n in told.sizes]
    assert (told.chain_ps <= every.chain_ps[order]).all()
    with pytest.raises(AssertionError):  # the oracle, shown to fail
        assert (few * 1.02 <= all_of).all()
