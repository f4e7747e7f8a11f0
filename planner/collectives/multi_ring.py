"""Several rings at once, a channel each: the array is cut among them, and they go different ways.

Channel c goes round in steps of the c-th number that has no factor in common with the ranks (1 and
n - 1 go the same ring both ways), so where every pair of ranks has its own link, or a ring carries
both directions, channels share none. At a switch they only share a port. Source: NCCL's channels
(Hu et al., arXiv 2507.04786, section II.B); strides are ours.

ASSUMES: a channel has lanes of its own at every rank (NCCL: a thread block of its own); a rank adds
what arrives for one channel after the other.
"""

from collections.abc import Sequence
from math import gcd

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_edges

OPERATION = "all_reduce"
NUMBERS = "the number of channels"


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
    if len(channels) > 1 or count > len(both):
        told = "x".join(map(str, channels))
        raise PlanError(
            f"algorithm 'multi_ring': expected 1 to {len(both)} channels on {ranks} ranks, got"
            f" {told}; give fewer"
        )
    return tuple(both[:count])


def steps(ranks: int, *channels: int) -> int:
    """Longest chain of transfers: 2 (n - 1)."""
    assert strides(ranks, channels)
    return 2 * (ranks - 1)


def emit(exchange: Exchange, ready: Sequence[Tasks], *channels: int) -> list[Tasks]:
    """Append 2 n (n - 1) transfers a channel, and half as many additions."""
    n = exchange.ranks
    ways = strides(n, channels)
    copies = Copies(exchange, ready, n * len(ways))
    for step in range(n - 1):
        for copies.channel, stride in enumerate(ways):
            for rank in copies.each(n):
                chunk = copies.channel * n + (rank - (step + 1) * stride) % n
                copies.reduce(rank, (rank + stride) % n, chunk)
    for step in range(n - 1):
        for copies.channel, stride in enumerate(ways):
            for rank in copies.each(n):
                chunk = copies.channel * n + (rank - step * stride) % n
                copies.move(rank, (rank + stride) % n, chunk)
    return copies.done()


def symmetry(ranks: int, *channels: int) -> Symmetry:
    """Round the ranks: every ring is turned by its own stride's inverse."""
    return Symmetry(sizes=(ranks,), blocks=((len(strides(ranks, channels)), -1), (ranks, 0)))


def cost_ps(elements: int, prices: Prices, *channels: int) -> int:
    """Time of one uncontended run: the slowest chunk's way, or that of additions that queue.

    What the channels' first transfers bring comes at once, and is added in turn: the last of it has
    a whole way left. Or a compute lane adds throughout, from the first arrival until the sums are
    gathered. Equal chunks by equal links that are not shared take the longest of these, as channels
    keep their distance from then on; of unequal ones it is a bound.
    """
    n = prices.ranks
    ways = np.array(strides(n, channels))[:, np.newaxis]
    rings, ranks = np.arange(len(ways))[:, np.newaxis], np.arange(n)
    widths = np.diff(chunk_edges(elements, n * len(ways))).reshape(len(ways), n)
    before = (ranks - ways) % n
    to = np.broadcast_to(ranks, before.shape).reshape(-1)

    def moved_ps(step: int) -> tuple[Ints, Ints]:
        """Return when the chunks of a step arrive, and their widths."""
        width = widths[rings, (before - step * ways) % n].reshape(-1)
        arrived = now[rings, before].reshape(-1)
        arrived = arrived + prices.transfers_ps(before.reshape(-1), to, width)
        return arrived.reshape(before.shape), width

    now = begun = np.zeros(before.shape, dtype=np.int64)
    first = queued = np.zeros(n, dtype=np.int64)
    every = np.zeros(n, dtype=np.int64)
    for step in range(n - 1):
        arrived, width = moved_ps(step + 1)
        adds = prices.every_add_ps(to, width).reshape(before.shape)
        now, every = arrived + adds, every + adds.sum(axis=0)
        first = np.minimum(first, arrived.min(axis=0)) if step else arrived.min(axis=0)
        if not step:
            begun, queued = now, first + every
    summed = now
    for step in range(n - 1):
        now, _ = moved_ps(step)
    left = now[rings, (ranks - 3 * ways) % n] - begun
    gathered = int((now[rings, before] - summed).min())
    lanes = max(int((queued + left.min(axis=0)).max()), int((first + every).max()) + gathered)
    return max(int(now.max()), lanes, busiest_ps(emit, elements, prices, *channels))
