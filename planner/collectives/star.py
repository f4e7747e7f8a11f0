"""Parameter-server star: rank 0, worker and server, adds in rank order, then sends the sum back.

The server's link carries (n - 1) times the array each way, so it wins only for few ranks or for
arrays so small that latency rules. Source: Li et al., OSDI 2014 (the synchronous case with one
server).
"""

from collections.abc import Sequence

from planner.collectives.base import Exchange, Load, Prices, Tasks


def steps(ranks: int) -> int:
    """Longest chain of transfers: n - 1 arrivals, then n - 1 departures, at the server."""
    return 2 * (ranks - 1)


def busbw_factor(ranks: int) -> float:
    """Bus bandwidth over algorithm bandwidth, by the definition for all-reduce: 2 (n - 1) / n."""
    return 2 * (ranks - 1) / ranks


def landing_elements(elements: int, ranks: int, rank: int) -> int:
    """Only the server adds, whole arrays."""
    return elements if rank == 0 else 0


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 (n - 1) transfers and n - 1 additions."""
    n, whole = exchange.ranks, (0, exchange.elements)
    total = ready[0]
    given = {}
    for worker in range(1, n):
        given[worker] = exchange.send(worker, 0, whole, after=ready[worker], landing=True)
        total = (exchange.add(0, whole, given[worker], after=total),)
    # a worker may post its receive only once its own gradients have gone
    back = [
        exchange.send(0, worker, whole, after=(*total, sent), landing=False)
        for worker, sent in given.items()
    ]
    return [tuple(back), *((sent,) for sent in back)]


def loads(elements: int, prices: Prices) -> list[Load]:
    """The server carries everything; a worker sends once and receives once."""
    workers = range(1, prices.ranks)
    inward = [prices.transfer_ps(worker, 0, elements) for worker in workers]
    outward = [prices.transfer_ps(0, worker, elements) for worker in workers]
    added = len(workers) * prices.add_ps(0, elements)
    server = Load(send_ps=sum(outward), receive_ps=sum(inward), add_ps=added)
    rest = [Load(send_ps=i, receive_ps=o, add_ps=0) for i, o in zip(inward, outward, strict=True)]
    return [server, *rest]


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run, the server being busy throughout.

    With one landing slot an arrival waits for the addition before it; with more, or where
    transfers hold no compute lane, only the last addition is exposed as long as an addition is no
    slower than a transfer (else the additions are the chain).
    """
    server = loads(elements, prices)[0]
    if prices.holds_compute or prices.landing_slots == 1:
        return server.total_ps
    one_add = prices.add_ps(0, elements)
    first = min(prices.transfer_ps(worker, 0, elements) for worker in range(1, prices.ranks))
    arrivals = max(server.receive_ps + one_add, first + server.add_ps)
    return arrivals + server.send_ps
