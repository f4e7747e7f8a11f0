"""Ring all-reduce whose chunks go round in pieces: while one is added up, the next arrives.

The bytes of a ring in P times as many messages. With a second landing slot a rank sends and adds at
the same time, so a step takes the longer of both and not their sum; a landing register holds a
piece. Messages of a rank keep their order. Source: NCCL's slices (Hu et al., arXiv 2507.04786,
section II.D).
"""

from collections.abc import Sequence

import numpy as np

from hwprofiles.errors import PlanError
from planner.collectives._rings import Rings
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

OPERATION = "all_reduce"
NUMBERS = "the number of pieces of a chunk"
PIECES = 2


def rings(ranks: int, numbers: tuple[int, ...]) -> Rings:
    """Return the one ring, in pieces."""
    if len(numbers) > 1:
        told = "x".join(map(str, numbers))
        raise PlanError(f"algorithm 'pipelined_ring': expected one number of pieces, got {told}")
    return Rings(
        order=np.arange(ranks)[None, :],
        lead=np.zeros(ranks, dtype=np.int64),
        pieces=numbers[0] if numbers else PIECES,
        ahead=1,
    )


def steps(ranks: int, *pieces: int) -> int:
    """Transfers of a rank, one after the other: 2 (n - 1) P."""
    return 2 * (ranks - 1) * rings(ranks, pieces).pieces


def emit(exchange: Exchange, ready: Sequence[Tasks], *pieces: int) -> list[Tasks]:
    """Append 2 n (n - 1) P transfers and half as many additions; chunk ``c`` is of rank ``c``."""
    return rings(exchange.ranks, pieces).emit(exchange, ready)


def symmetry(ranks: int, *pieces: int) -> Symmetry:
    """Round the ring, a chunk with its rank."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0), (rings(ranks, pieces).pieces, -1)))


def cost_ps(elements: int, prices: Prices, *pieces: int) -> int:
    """Time of one uncontended run, piece by piece: what a wire, a slot and an adder wait for."""
    found = rings(prices.ranks, pieces).cost_ps(elements, prices)
    return max(found, busiest_ps(emit, elements, prices, *pieces))
