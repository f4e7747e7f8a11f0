"""Broadcast along a chain, in pieces: a rank hands a piece on while it gets the next.

n - 1 + P - 1 steps of 1 / P of the array, so with many pieces it takes hardly longer than one
transfer of all of it. Source: van de Geijn and Watts (SUMMA), Concurrency 9 (1997), section 4.1.
"""

from collections.abc import Sequence

import numpy as np

from hwprofiles.errors import PlanError
from planner.collectives._copies import Copies
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_edges

OPERATION = "broadcast"
NUMBERS = "the number of pieces"
PIECES = 4


def pieces_of(numbers: tuple[int, ...]) -> int:
    """Return into how many pieces the array is cut."""
    if len(numbers) > 1:
        told = "x".join(map(str, numbers))
        raise PlanError(f"algorithm 'chain_broadcast': expected one number of pieces, got {told}")
    return numbers[0] if numbers else PIECES


def steps(ranks: int, *pieces: int) -> int:
    """Longest chain of transfers: all pieces to the second rank, the last one to the end."""
    return ranks - 1 + pieces_of(pieces) - 1


def emit(exchange: Exchange, ready: Sequence[Tasks], *pieces: int) -> list[Tasks]:
    """Append n - 1 transfers a piece."""
    copies = Copies(exchange, ready, pieces_of(pieces))
    for piece in range(copies.blocks):
        for rank in range(copies.ranks - 1):
            copies.move(rank, rank + 1, piece)
    return copies.done()


def cost_ps(elements: int, prices: Prices, *pieces: int) -> int:
    """Time of one uncontended run: a rank sends what it has, a piece after the other."""
    widths = np.diff(chunk_edges(elements, pieces_of(pieces)))
    hops = np.arange(prices.ranks - 1)
    found, of_piece = np.unique(widths, return_inverse=True)
    hop_ps = [prices.transfers_ps(hops, hops + 1, np.full(len(hops), width)) for width in found]
    has = np.zeros(len(widths), dtype=np.int64)
    for each in np.transpose(hop_ps)[:, of_piece]:
        done = np.cumsum(each)  # as if all were there at once
        has = done + np.maximum.accumulate(has - (done - each))
    return max(int(has[-1]), busiest_ps(emit, elements, prices, *pieces))
