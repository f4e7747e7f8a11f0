"""All-reduce in the switch: it adds up what all ranks hold, one part for each, and sends it to all.

A rank asks the switch for the sum of its part: the switch reads that part from every rank and hands
on the sum (*collect*). Then the rank has it written to every rank (*spread*). S (n + 1) / n bytes
cross the link of a rank each way, against 2 S (n - 1) / n of a ring. Parts are cut in pieces, so
that one is collected while the one before is spread. Source: Klenk et al., ISCA 2020, section III
(NVLink SHARP; Graham et al., COMHPC 2016, for switches between nodes).

ASSUMES: the switch adds as fast as its ports run; a rank has one collect and one spread under way.
"""

from collections.abc import Sequence
from typing import Protocol

from hwprofiles.errors import PlanError
from planner.collectives.base import Exchange, Prices, Span, Tasks, chunk_spans

OPERATION = "all_reduce"
NUMBERS = "the number of pieces of a rank's part"
SWITCHED = True
PIECES = 8


class SwitchedExchange(Exchange, Protocol):
    """An exchange through a switch that reduces."""

    def collect(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Replace ``span`` of ``rank`` by the sum of those of all ranks."""
        ...

    def spread(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Replace ``span`` of all ranks by that of ``rank``."""
        ...


def pieces_of(numbers: tuple[int, ...]) -> int:
    """Return into how many pieces a part is cut."""
    if len(numbers) > 1:
        told = "x".join(map(str, numbers))
        raise PlanError(f"algorithm 'in_network': expected one number of pieces, got {told}")
    return numbers[0] if numbers else PIECES


def steps(ranks: int, *pieces: int) -> int:
    """Longest chain of transfers: every piece is collected, the last one is spread."""
    del ranks
    return pieces_of(pieces) + 1


def busbw_factor(ranks: int, *pieces: int) -> float:
    """Return what a rank's link carries of the array: its own parts, and the sums of all."""
    del pieces
    return (ranks + 1) / ranks


def fill_frac(ranks: int, *pieces: int) -> float:
    """Return what the first collects and the last spreads take alone, of the array over the wire.

    >>> fill_frac(8, 4)
    0.21875
    """
    return (ranks - 1) / ranks / pieces_of(pieces)


def emit(exchange: SwitchedExchange, ready: Sequence[Tasks], *pieces: int) -> list[Tasks]:
    """Append n collects and n spreads a piece."""
    n, count = exchange.ranks, pieces_of(pieces)
    spans = chunk_spans(exchange.elements, n * count)
    begun = tuple(sorted({task for tasks in ready for task in tasks}))
    last, spread = [begun] * n, list[int]()
    for piece in range(count):
        for rank in range(n):
            span = spans[rank * count + piece]
            collected = exchange.collect(rank, span, after=last[rank])
            last[rank] = (collected,)
            spread.append(exchange.spread(rank, span, after=(collected,)))
    return [tuple(spread)] * n


def cost_ps(elements: int, prices: Prices, *pieces: int) -> int:
    """Time of one run where all ranks are alike: collects, both together, spreads.

    Ports are full throughout; n collects share each, and while pieces overlap a spread too.
    """
    n, count = prices.ranks, pieces_of(pieces)
    piece = -(-elements // (n * count))
    alone_ps, both_ps = (prices.switched_ps(flows * piece) for flows in (n, n + 1))
    return 2 * alone_ps + (count - 1) * both_ps
