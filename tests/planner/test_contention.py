"""Exchanges that share links: the times that a person works out with paper."""

import pytest

from hwprofiles.cluster import Cluster
from hwprofiles.link import Link
from hwprofiles.parts import load_device
from hwprofiles.units import PS_PER_S
from planner.algorithms import algorithm
from planner.lone_exchange import LoneExchange
from sim.engine import simulate

GB = 10**9
ELEMENTS = 250_000_000  # 1 GB of float32


def wire(gb_per_s: float) -> Link:
    return Link(name="wire", bandwidth_bytes_per_s=gb_per_s * GB, overheads=((0.0, 0.0),))


def joined(devices: int, wires: list[tuple[int | str, int | str, float]]) -> Cluster:
    edges = [(a, b, wire(rate)) for a, b, rate in wires]
    both = [*edges, *((b, a, link) for a, b, link in edges)]
    return Cluster.from_edges("paper", [load_device("h100-sxm5-80g")] * devices, both)


class Group:
    """Some of the ranks, in an order of their own."""

    fold = None
    elements = ELEMENTS

    def __init__(self, whole, group):
        self.whole, self.group, self.ranks = whole, group, len(group)

    def send(self, src, dst, span, **how):
        return self.whole.send(self.group[src], self.group[dst], span, **how)

    def add(self, rank, span, arrived, *, after):
        return self.whole.add(self.group[rank], span, arrived, after=after)


def together_s(cluster: Cluster, name: str, *groups: tuple[int, ...]) -> float:
    """Seconds of one exchange of 1 GB in each group, all at once; additions cost nothing."""
    whole = LoneExchange(
        ranks=len(cluster.devices),
        elements=ELEMENTS,
        cluster=cluster,
        add_ps=lambda rank, elements: 0,
        dtype="float32",
    )
    for group in groups:
        algorithm(name).emit(Group(whole, group), [()] * len(group))
    return simulate(whole.graph.build()).makespan_ps / PS_PER_S


def test_two_groups_on_one_nic_take_twice_as_long():
    """Two devices a node at one NIC of 10 GB/s; device i is in group i with its peer across.

    A ring of 2 sends half a GB twice, each in 0.05 s; two flows on the NIC, and it is 0.1 s.
    """
    nodes = [(0, "nic0", 100.0), (1, "nic0", 100.0), (2, "nic1", 100.0), (3, "nic1", 100.0)]
    cluster = joined(4, [*nodes, ("nic0", "net", 10.0), ("nic1", "net", 10.0)])
    assert together_s(cluster, "ring", (0, 2)) == pytest.approx(2 * 0.05)
    assert together_s(cluster, "ring", (0, 2), (1, 3)) == pytest.approx(2 * 0.1)


PORTS = [(d, f"leaf{d // 4}", 10.0) for d in range(8)]
"""Two leaves of four ports of 10 GB/s."""


@pytest.mark.parametrize(("uplink", "slower"), [(40.0, 1), (20.0, 2), (10.0, 4)])
def test_an_oversubscribed_spine_slows_what_crosses_it_and_nothing_else(uplink, slower):
    """Halving sends 1/2, 1/4, 1/8 GB at distance 4, 2, 1, and doubling sends them back.

    At distance 4 all four ranks of a leaf cross the uplink at once, else none does.
    """
    cluster = joined(8, [*PORTS, ("leaf0", "leaf1", uplink)])
    found_s = together_s(cluster, "halving_doubling", tuple(range(8)))
    assert found_s == pytest.approx(2 * (slower / 20 + 1 / 40 + 1 / 80))


def test_an_adversarial_order_of_ranks_crosses_the_spine_at_every_hop():
    """A ring in order crosses each uplink once a step: 14 steps of 1 / 8 GB at 10 GB/s.

    Leaf by leaf in turn, four flows share it: four times as long.
    """
    cluster = joined(8, [*PORTS, ("leaf0", "leaf1", 10.0)])
    assert together_s(cluster, "ring", tuple(range(8))) == pytest.approx(14 / 80)
    assert together_s(cluster, "ring", (0, 4, 1, 5, 2, 6, 3, 7)) == pytest.approx(4 * 14 / 80)
