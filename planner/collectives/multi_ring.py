"""Several rings at once, a channel each: the array is cut among them, and they go different ways.

Channel c goes round in steps of the c-th number that has no factor in common with the ranks (1 and
n - 1 go the same ring both ways), so where every pair of ranks has its own link, or a ring carries
both directions, channels share none. At a switch they only share a port.

Over nodes of several NICs a ring passes through one node after the other, and enters it at another
rank for every channel, so each leaves by a NIC of its own. In a node it zigzags (0, 1, -1, 2, -2,
...): turned to all ranks, that takes every pair of them once (Walecki; Alspach, Bull. Inst. Comb.
Appl. 52, 2008). Where the nodes let it, a ring enters the next node at the place where it left the
last, so it stays on a rail.

Source: NCCL's channels (Hu et al., arXiv 2507.04786, section II.B) and slices (II.D); strides and
zigzags are ours.

ASSUMES: a channel has lanes of its own at every rank (NCCL: a thread block of its own); a rank adds
what arrives for one channel after the other.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from planner.collectives._rings import Rings
from planner.collectives._symmetry import BY_CHANNEL, Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

OPERATION = "all_reduce"
NUMBERS = "the channels, the pieces of a chunk, and the ranks of a node to turn them in,"


def strides(ranks: int, channels: tuple[int, ...]) -> tuple[int, ...]:
    """Return the stride of each channel; without a number, up to two channels.

    >>> strides(8, (4,)), strides(6, ())
    ((1, 7, 3, 5), (1, 5))

    Raises
    ------
    PlanError
        When there are not so many rings.
    """
    half = range(1, max(2, ranks // 2 + 1))
    found = [s for s in half if gcd(s, ranks) == 1]
    both = list(dict.fromkeys(way for s in found for way in (s, ranks - s)))
    count = channels[0] if channels else min(2, len(both))
    if count > len(both):
        raise PlanError(
            f"algorithm 'multi_ring': expected 1 to {len(both)} channels on {ranks} ranks, got"
            f" {count}; give fewer"
        )
    return tuple(both[:count])


def zigzag(size: int) -> Ints:
    """Return the way through the ranks of a node from the first.

    >>> zigzag(8).tolist(), zigzag(5).tolist()
    ([0, 1, 7, 2, 6, 3, 5, 4], [0, 1, 4, 2, 3])
    """
    steps = np.arange(size)
    return np.where(steps % 2, (steps + 1) // 2, -(steps // 2)) % size


def shift(size: int, nodes: int) -> int:
    """Return how far from where it enters a node a ring enters the next one.

    That is where it leaves the node, if the last one then leads to the first; else 0.

    >>> shift(8, 2), shift(8, 3), shift(5, 3)
    (4, 0, 0)
    """
    left = int(zigzag(size)[-1])
    return 0 if nodes * left % size else left


@lru_cache(maxsize=64)
def rings(ranks: int, numbers: tuple[int, ...]) -> Rings:
    """Return the rings of all channels.

    Raises
    ------
    PlanError
        When there are not so many channels, or ranks do not fill nodes of such a size.
    """
    channels, pieces, size = (*numbers, *(0, 1, 0)[len(numbers) :])[:3]
    if len(numbers) < 3:
        ways = np.array(strides(ranks, (channels,) if numbers else ()))
        order = ways[:, None] * np.arange(ranks) % ranks
        lead = np.zeros(ranks, dtype=np.int64)
        return Rings(order=order, lead=lead, pieces=pieces, in_turn=pieces > 1)
    if len(numbers) > 3 or ranks % size or ranks == size or size % channels:
        told = "x".join(map(str, numbers))
        raise PlanError(
            f"algorithm 'multi_ring': expected a number of channels that divides the ranks of a"
            f" node, of which {ranks} ranks fill several, got {told}; give other numbers"
        )
    nodes, apart = np.arange(ranks // size), size // channels
    enters = (np.arange(channels) * apart)[:, None] + nodes * shift(size, len(nodes))
    order = (enters[:, :, None] + zigzag(size)) % size + (nodes * size)[:, None]
    inside = np.arange(size) - (nodes * shift(size, len(nodes)))[:, None]
    return Rings(
        order=order.reshape(channels, ranks),
        lead=(inside // apart % channels).reshape(-1),
        pieces=pieces,
    )


def steps(ranks: int, *numbers: int) -> int:
    """Transfers of a rank by a channel, one after the other: 2 (n - 1) P."""
    return 2 * (ranks - 1) * rings(ranks, numbers).pieces


def emit(exchange: Exchange, ready: Sequence[Tasks], *numbers: int) -> list[Tasks]:
    """Append 2 n (n - 1) P transfers a channel, and half as many additions."""
    return rings(exchange.ranks, numbers).emit(exchange, ready)


def symmetry(ranks: int, *numbers: int) -> Symmetry:
    """Round the ranks: every ring is turned by its own stride's inverse.

    Over nodes, round the nodes and round the ranks of all nodes, where that leads from channel to
    channel.

    Raises
    ------
    PlanError
        When there are fewer channels than ranks of a node.
    """
    found = rings(ranks, numbers)
    channels, (_, _, size) = len(found.order), (*numbers, *(0, 1, 0)[len(numbers) :])
    if not size:
        blocks = ((channels, -1), (ranks, 0), (found.pieces, -1))
        return Symmetry(sizes=(ranks,), blocks=blocks)
    if channels < size:
        raise PlanError(
            f"fold: {channels} channels do not turn with the {size} ranks of a node; simulate it"
            " unfolded"
        )
    nodes = ranks // size
    return Symmetry(
        sizes=(size, nodes),
        blocks=((size, BY_CHANNEL), (nodes, 1), (size, 0), (found.pieces, -1)),
        channels=(1, -shift(size, nodes)),
    )


def cost_ps(elements: int, prices: Prices, *numbers: int) -> int:
    """Time of one uncontended run, piece by piece: what a wire, a slot and an adder wait for."""
    found = rings(prices.ranks, numbers).cost_ps(elements, prices)
    return max(found, busiest_ps(emit, elements, prices, *numbers))
