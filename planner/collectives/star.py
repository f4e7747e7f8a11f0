"""Parameter-server star: rank 0, worker and server, adds in rank order, then sends the sum back.

The server's link carries (n - 1) times the array each way, so it wins only for few ranks or for
arrays so small that latency rules. Source: Li et al., OSDI 2014 (the synchronous case with one
server).
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

OPERATION = "all_reduce"


def steps(ranks: int) -> int:
    """Longest chain of transfers: n - 1 arrivals, then n - 1 departures, at the server."""
    return 2 * (ranks - 1)


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 (n - 1) transfers and n - 1 additions."""
    return serve(Copies(exchange, ready))


def serve(copies: Copies) -> list[Tasks]:
    """Let each block's server hear the ranks after it in turn, then answer them."""
    n = copies.ranks
    servers = [(block, server_of(block, copies.blocks)) for block in copies.each(copies.blocks)]
    turns = [(b, server, (server + step) % n) for step in range(1, n) for b, server in servers]
    for block, server, worker in turns:
        copies.reduce(worker, server, block)
    for block, server, worker in turns:
        copies.move(server, worker, block)
    return copies.done()


def server_of(block: int, servers: int) -> int:
    """Return the rank that adds ``block``: the one before, as in a ring, so rank 0 if alone."""
    return (block - 1) % servers


def service_ps(server: int, elements: int, prices: Prices) -> int:
    """Time in which ``server`` adds what all others send, then sends the sum back."""
    n = prices.ranks
    if prices.alike:
        return prices.served_ps(elements, n - 1) + (n - 1) * prices.transfer_ps(0, 1, elements)
    workers = [(server + step) % n for step in range(1, n)]
    added_ps = prices.absorbed_ps(server, elements, [(worker, 0) for worker in workers])
    return added_ps + sum(prices.transfer_ps(server, worker, elements) for worker in workers)


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run, the server being busy throughout."""
    return max(service_ps(0, elements, prices), busiest_ps(emit, elements, prices))
