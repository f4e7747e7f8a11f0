"""Which algorithms with numbers suit a cluster: by its nodes, its dimensions and its switches."""

import re
from collections import Counter
from collections.abc import Sequence
from math import prod

from hwprofiles.cluster import Cluster
from planner.algorithms import fits, is_switched, numbered_names

REDUCING = ("nvswitch-3", "nvswitch-3-h800", "nvswitch-4")
"""Switches that add: NVLink SHARP came with the third generation (NVIDIA H100 whitepaper, 2022)."""


PIECED = tuple(f"chain_broadcast:{pieces}" for pieces in (4, 16, 64, 256))
"""What suits any fabric, by how finely the array is cut."""
MOST_CHANNELS = 32
"""Rings at once, as many as NCCL has at most by default (``NCCL_MAX_NCHANNELS``, 2.19)."""


def shaped_names(cluster: Cluster) -> tuple[str, ...]:
    """Return the algorithms that the fabric calls for, whatever the number of ranks."""
    found: list[str] = []
    devices, routing = len(cluster.devices), cluster.routing
    if 1 < node_ranks(cluster) < devices:
        found += [f"{name}:{node_ranks(cluster)}" for name in _OF_NODES]
    dims = [size for size in reversed(routing.dims) if size > 1]
    if len(dims) > 1:
        found.append(f"torus:{'x'.join(map(str, dims))}")
    ways = direct_links(cluster)
    if cluster.devices[0].transfers_hold_compute:
        ways = 0  # there is one lane for all
    found += [f"multi_ring:{count}" for count in sorted({2, 4, ways}) if 1 < count <= ways]
    if (rails := nic_channels(cluster)) > 1:
        found.append(f"multi_ring:{rails}x1x{node_ranks(cluster)}")
    if reduces(cluster):
        found.append("in_network")
    return tuple(found)


PIPELINED, FEW_RANKS = "pipelined_ring:2", range(3, 9)
"""A ring in pieces, and the ranks among which it is tried, of one node: with two landing slots it
takes up to 15 % less than the best other way there, with more ranks or pieces less than 1 %. So do
several rings at once (1 to 6 % on full meshes, 14 % in a cube mesh), but not those over nodes."""
_CHANNELS, _TURNED = r"multi_ring:\d+", r"multi_ring:\d+x1x\d+"
TURNED_NODES = 4
"""Nodes up to which a search tries rings that are turned in them: of eight DGX H100 they win for
arrays above 130 MB alone, of sixteen above 250 MB (``foreplan topology``), and buckets are smaller.
"""
_OF_NODES = ("hierarchical", "hierarchical_halving", "hierarchical_all_to_all")


def offered(cluster: Cluster, ranks: int) -> tuple[str, ...]:
    """Return the all-reduces among them that suit so many ranks, and rings in pieces for few."""
    able = numbered_names()
    found = [name for name in shaped_names(cluster) if name.partition(":")[0] in able]
    holds = cluster.devices[0].transfers_hold_compute
    if ranks in FEW_RANKS and ranks <= node_ranks(cluster) and not holds:
        found += [PIPELINED, *(f"{name}x2" for name in found if re.fullmatch(_CHANNELS, name))]
    if ranks > TURNED_NODES * node_ranks(cluster):
        found = [name for name in found if not re.fullmatch(_TURNED, name)]
    return tuple(name for name in found if suits(name, cluster, ranks))


def meets(name: str, cluster: Cluster, placement: Sequence[int]) -> bool:
    """Whether the devices have the switch that an algorithm needs: one of their node, that adds."""
    if len(placement) < 2 or not is_switched(name):
        return True
    return reduces(cluster) and len({device // node_ranks(cluster) for device in placement}) == 1


def suits(name: str, cluster: Cluster, ranks: int) -> bool:
    """Whether so many ranks, the first devices in order, can run an algorithm."""
    stem = name.partition(":")[0]
    if stem in _OF_NODES and ":" in name and ranks <= int(name.split(":")[1]):
        return False
    if is_switched(name):
        return ranks > 1 and meets(name, cluster, range(ranks))
    return fits(name, ranks)


def node_ranks(cluster: Cluster) -> int:
    """Return the devices of a node; those of a torus are one."""
    return cluster.routing.node_devices or len(cluster.devices)


def reduces(cluster: Cluster) -> bool:
    """Whether the devices of a node are joined by switches that add."""
    first_way = cluster.route(0, min(1, len(cluster.devices) - 1))
    return any(link.name in REDUCING for link in first_way.links)


def nic_channels(cluster: Cluster) -> int:
    """Return how many rings can be turned in a node so that they share its NICs evenly.

    There is one for each rank of a node, so all ranks do alike and a few stand for all. One where
    devices have one lane for all or are their own NICs, and where all share a NIC.
    """
    size, exits = node_ranks(cluster), cluster.routing.exits
    if size == len(cluster.devices) or not exits or cluster.devices[0].transfers_hold_compute:
        return 1
    sharing = Counter(exits[:size]).values()
    return size if len(sharing) > 1 and len(set(sharing)) == 1 and size <= MOST_CHANNELS else 1


def direct_links(cluster: Cluster) -> int:
    """Return how many devices the first one has links to, without a switch between."""
    size = prod(cluster.routing.dims) if cluster.routing.dims else node_ranks(cluster)
    near = cluster.after(0)
    return sum(isinstance(end, int) and end < size for end in near)
