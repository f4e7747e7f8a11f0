"""NCCL's own choice: the cheapest way by the model with which the library ranks its algorithms.

That model is right only relative to itself, so it chooses, and the time of what it chose is the
law's. Its size factors of a tree are steps; here they are interpolated in the logarithm of the
size. Send and receive, and what is built of them, have no choice of algorithm. ASSUMES: channels as
one search over the speeds that the library tries gives them; a host of Intel's kind; a plug-in that
reports no latency.

Source: NVIDIA/nccl, src/graph/tuning.cc, src/graph/topo.h and src/graph/search.cc (v2.30.7-1).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from hwprofiles.transport import Constants
from hwprofiles.units import GB, US
from planner.policies import best
from planner.transport_law import LL_BYTES_PER_S, Group, Lane, Way

BASE_US = {
    "tree": {"ll": 6.8, "ll128": 14.0, "simple": 8.4},
    "ring": {"ll": 6.6, "ll128": 14.0, "simple": 8.4},
}
"""Of a call."""
STEP_US = {
    "nvlink": {
        "tree": {"ll": 0.6, "ll128": 1.25, "simple": 4.0},
        "ring": {"ll": 0.6, "ll128": 1.9, "simple": 3.4},
        "nvls": {"simple": 25.0},
    },
    "pci": {
        "tree": {"ll": 1.0, "ll128": 1.9, "simple": 4.0},
        "ring": {"ll": 1.0, "ll128": 2.5, "simple": 5.7},
        "nvls": {"simple": 0.0},
    },
    "net": {
        "tree": {"ll": 5.0, "ll128": 8.5, "simple": 14.0},
        "ring": {"ll": 2.7, "ll128": 4.0, "simple": 14.0},
        "nvls": {"simple": 20.9},
    },
}
"""Of a step over each kind of link."""
OVERHEAD_US = {"ll": 1.0, "ll128": 1.0, "simple": 3.0}
"""Least time of a step where there is a network."""
GENERATIONS = {"nvlink-3": "ampere", "nvlink-4": "hopper", "nvlink-5": "blackwell"}
"""By the stack inside; all others are taken as Volta."""
LL_GB = {"volta": 39.0, "ampere": 87.7, "hopper": 141.0, "blackwell": 282.0}
"""Most that LL moves on one node, GB/s."""
RING_LL128_GB = {"volta": 20.0, "ampere": 20.0, "hopper": 36.7, "blackwell": 40.0}
"""Most of one channel."""
TREE_LL128_GB = {
    "volta": (20.0, 20.0, 20.0),
    "ampere": (20.0, 20.0, 20.0),
    "hopper": (36.7, 36.7, 29.0),
    "blackwell": (55.6, 31.67, 20.0),
}
TREE_GB = {
    "volta": (26.5, 18.5, 10.0),
    "ampere": (24.0, 23.6, 17.8),
    "hopper": (38.7, 41.4, 36.0),
    "blackwell": (70.0, 42.8, 24.0),
}
NVLS_TREE_GB = {
    "volta": (26.5, 18.5, 10.0),
    "ampere": (24.0, 23.6, 17.8),
    "hopper": (0.0, 57.7, 45.5),
    "blackwell": (0.0, 96.0, 80.0),
}
NVLS_SHARE = {"hopper": 0.85, "blackwell": 0.74}
USABLE = {
    "nvlink-1": 18 / 20,
    "nvlink-2": 20 / 25,
    "nvlink-3": 20 / 25,
    "nvlink-4": 20.6 / 25,
    "nvlink-5": 40.1 / 50,
    "pcie": 12 / 15.75,
}
"""What the library reckons with of a wire's rate; of a NIC 12 GB/s for every 100 Gb/s."""
NIC_USABLE = 12 / 12.5
SPEEDS_GB = {
    "volta": (40, 30, 20, 18, 15, 12, 10, 9, 7, 6, 5, 4, 3),
    "ampere": (40, 30, 20, 18, 15, 12, 10, 9, 7, 6, 5, 4, 3),
    "hopper": (60, 50, 40, 30, 24, 20, 15, 12, 11, 6, 3),
    "blackwell": (90, 80, 70, 60, 50, 45, 40, 30, 24, 20, 19, 18),
}
"""Speeds of a channel that the search tries."""
MOST_CHANNELS = 16
"""Of the search; the library doubles them later at half the speed."""
FIRST_BYTES = 64
TREE_FACTORS = {
    "ll": (
        1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1, 1,
    ),
    "ll128": (
        1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1, 1,
    ),
    "simple": (
        .9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9,
        .9, .9,
    ),
}  # fmt: skip
"""What a tree reaches of its bandwidth, by the doublings of the size from 64 B."""
RING_LATENCY = {"volta": 1.9, "ampere": 1.4, "hopper": 1.4, "blackwell": 1.4}
"""A ring under Simple over several nodes, from 64 B a channel and rank."""


def choose(
    way_list: Sequence[Way],
    payload_bytes: float,
    operation: str,
    group: Group,
    constants: Constants,
) -> Way:
    """Return the way that the library's model finds cheapest."""
    if any(way.algorithm == "direct" for way in way_list):
        return best.choose(way_list, payload_bytes, operation, group, constants)
    return min(way_list, key=lambda way: model_s(way, payload_bytes, operation, group))


def model_s(way: Way, payload_bytes: float, operation: str, group: Group) -> float:
    """Return the library's figure for a way, seconds: a rank among ways, not a time."""
    latency_us = _latency_us(way, operation, group)
    rate_gb = _rate_gb(way, operation, group)
    if way.algorithm == "tree":
        rate_gb *= tree_factor(way.protocol, payload_bytes)
    is_simple_ring = way.algorithm == "ring" and way.protocol == "simple" and group.between
    if is_simple_ring and payload_bytes >= FIRST_BYTES * _channels(group)[0] * group.ranks:
        latency_us *= RING_LATENCY[_generation(group)]
    return latency_us * US + payload_bytes / (rate_gb * GB)


def tree_factor(protocol: str, payload_bytes: float) -> float:
    """Return the size factor of a tree, interpolated between doublings.

    >>> tree_factor("ll", 64 * 2**11), tree_factor("ll", 64 * 2**11.5)
    (0.5, 0.45)
    """
    factors = TREE_FACTORS[protocol]
    place = math.log2(max(payload_bytes, 1.0) / FIRST_BYTES)
    place = min(max(place, 0.0), len(factors) - 1.0)
    low = min(int(place), len(factors) - 2)
    first, second = list(pairwise(factors))[low]
    return round(first + (second - first) * (place - low), 12)


def _latency_us(way: Way, operation: str, group: Group) -> float:
    algorithm, protocol = way.algorithm, way.protocol
    kind = "pci" if group.inside and group.inside.stack in ("pcie", "host-memory") else "nvlink"
    inner_us = STEP_US[kind][algorithm][protocol]
    alone = not group.inside
    net_us = STEP_US["net"]["tree" if alone and algorithm == "ring" else algorithm][protocol]
    if algorithm == "nvls":
        return inner_us + (2 * _floor_log2(group.domains) * net_us if group.between else 0.0)
    base_us = BASE_US[algorithm][protocol]
    if algorithm == "tree":
        return base_us + 2 * ((group.each - 1) * inner_us + _floor_log2(group.domains) * net_us)
    halves = 2 if operation == "all_reduce" else 1
    steps, crossings = halves * (group.ranks - 1), halves * (group.domains - 1)
    least_us = OVERHEAD_US[protocol] if group.between else 0.0
    return base_us + (steps - crossings) * max(inner_us, least_us) + crossings * net_us


def _floor_log2(count: int) -> int:
    return count.bit_length() - 1


def _rate_gb(way: Way, operation: str, group: Group) -> float:
    """Return what the model thinks that a way moves of the whole array, GB/s."""
    generation, protocol = _generation(group), way.protocol
    place = min(group.domains, 3) - 1
    channels, inside_gb, outside_gb = _channels(group)
    each_gb = inside_gb if group.domains <= 2 else min(inside_gb, outside_gb)
    bus_gb = channels * min(each_gb, outside_gb)
    ll_gb = LL_BYTES_PER_S[place - 1] / GB if group.between else LL_GB[generation]
    if way.algorithm == "ring":
        if protocol == "ll":
            bus_gb = min(ll_gb, 0.5 * bus_gb)
        elif protocol == "ll128":
            bus_gb = min(0.92 * bus_gb, channels * RING_LL128_GB[generation])
        if operation in ("broadcast", "reduce"):
            return bus_gb
        halves = 2 if operation == "all_reduce" else 1
        return bus_gb * group.ranks / (halves * (group.ranks - 1))
    if way.algorithm == "tree":
        bus_gb = min(0.92 * bus_gb, channels * TREE_GB[generation][place])
        if protocol == "ll":
            bus_gb = min(bus_gb / 3.8, ll_gb)
        elif protocol == "ll128":
            bus_gb = min(bus_gb * 120 / 128, channels * TREE_LL128_GB[generation][place])
        return 0.5 * bus_gb
    one_gb = 2 * inside_gb * NVLS_SHARE[generation] * (channels - 1) / channels
    if group.between:
        doubled = 2 if group.domains <= 2 else 1
        one_gb = min(one_gb, outside_gb * doubled, NVLS_TREE_GB[generation][place])
    return channels * one_gb * group.ranks / (2 * (group.ranks - 1))


def _generation(group: Group) -> str:
    return GENERATIONS.get(group.inside.stack if group.inside else "", "volta")


def _channels(group: Group) -> tuple[int, float, float]:
    """Return the number of channels, and what one carries inside and between nodes, GB/s."""
    inside_gb, outside_gb = _usable_gb(group.inside), _usable_gb(group.between)
    most_gb = min(inside_gb, outside_gb)
    speeds = SPEEDS_GB[_generation(group)]

    def carried(speed: float) -> tuple[float, int]:
        count = min(MOST_CHANNELS, int(most_gb // speed))
        return count * speed, count

    speed = max(speeds, key=carried)
    count = max(2, carried(speed)[1])
    return count, min(float(speed), inside_gb / count), outside_gb / count


def _usable_gb(lane: Lane | None) -> float:
    if lane is None:
        return math.inf
    return lane.bytes_per_s / GB * USABLE.get(lane.stack, NIC_USABLE)
