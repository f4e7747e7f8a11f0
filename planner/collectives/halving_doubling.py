"""Recursive halving and doubling: partners swap halves of what they hold, then give them back.

With p ranks, p a power of two, every rank sends 2 (p - 1) / p of the array in 2 log2 p steps: the
bytes of a ring in the steps of a tree. Ranks beyond p first add their array to that of a partner
(fold in) and get the sum from it at the end (fold out).

Source: Thakur, Rabenseifner and Gropp, Int. J. High Perform. Comput. Appl. 19 (2005), section 4.5
(Rabenseifner's algorithm).
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_spans

OPERATION = "all_reduce"


def core(ranks: int) -> int:
    """Return the largest power of two that is no larger."""
    return 1 << (ranks.bit_length() - 1)


def steps(ranks: int) -> int:
    """Longest chain of transfers: 2 floor(log2 n), and 2 to fold where n is no power of two."""
    p = core(ranks)
    return 2 * (p.bit_length() - 1) + 2 * (p < ranks)


def distances(ranks: int) -> list[int]:
    """Distance of the partners in each halving step: p / 2, p / 4, ... 1."""
    p = core(ranks)
    return [p >> k for k in range(1, p.bit_length())]


def held(rank: int, distance: int, ranks: int) -> tuple[int, int]:
    """First and end of the p blocks that ``rank`` keeps after the halving step at ``distance``.

    Rank 0 keeps the last blocks, which are the widest: its landing register is the widest too.

    >>> [held(rank, 2, 4) for rank in range(4)], [held(rank, 1, 4) for rank in range(4)]
    ([(2, 4), (2, 4), (0, 2), (0, 2)], [(3, 4), (2, 3), (1, 2), (0, 1)])
    """
    first = (core(ranks) - 1 - rank) // distance * distance
    return first, first + distance


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 p log2 p transfers and p log2 p additions; 2 and 1 more for every rank beyond p."""
    n, p = exchange.ranks, core(exchange.ranks)
    copies = Copies(exchange, ready, p)
    for rank in range(p, n):
        copies.reduce(rank, rank - p, 0, p)
    for distance in distances(n):
        for rank in range(p):
            copies.reduce(rank, rank ^ distance, *held(rank ^ distance, distance, n))
    for distance in reversed(distances(n)):
        for rank in range(p):
            copies.move(rank ^ distance, rank, *held(rank ^ distance, distance, n))
    for rank in range(p, n):
        copies.move(rank - p, rank, 0, p)
    return copies.done()


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: step by step, when each rank has its part, or a busy lane."""
    n, p = prices.ranks, core(prices.ranks)
    spans = chunk_spans(elements, p)

    def width(rank: int, distance: int) -> int:
        first, end = held(rank, distance, n)
        return spans[end - 1][1] - spans[first][0]

    now = [0] * p
    for rank in range(p, n):
        arrived = prices.transfer_ps(rank, rank - p, elements)
        now[rank - p] = arrived + prices.add_ps(rank - p, elements)
    for d in distances(n):
        came = [now[r ^ d] + prices.transfer_ps(r ^ d, r, width(r, d)) for r in range(p)]
        now = [max(now[r], came[r]) + prices.add_ps(r, width(r, d)) for r in range(p)]
    for d in reversed(distances(n)):
        came = [now[r ^ d] + prices.transfer_ps(r ^ d, r, width(r ^ d, d)) for r in range(p)]
        now = [max(now[r], came[r]) for r in range(p)]
    folded = [now[r - p] + prices.transfer_ps(r - p, r, elements) for r in range(p, n)]
    return max(*now, *folded, busiest_ps(emit, elements, prices))
