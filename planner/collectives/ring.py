"""Ring all-reduce: a reduce-scatter round the ring, then an all-gather round it.

Bandwidth-optimal: every rank sends 2 (n - 1) / n of the array. Source: Patarasuk and Yuan, J.
Parallel Distrib. Comput. 69 (2009), section 4.
"""

from collections.abc import Sequence

from planner.collectives.base import Exchange, Load, Prices, Tasks, chunk_spans


def steps(ranks: int) -> int:
    """Longest chain of transfers: 2 (n - 1)."""
    return 2 * (ranks - 1)


def busbw_factor(ranks: int) -> float:
    """Bus bandwidth over algorithm bandwidth: 2 (n - 1) / n."""
    return 2 * (ranks - 1) / ranks


def landing_elements(elements: int, ranks: int, rank: int) -> int:
    """Every rank adds chunks: the widest has ceil(elements / n)."""
    return -(-elements // ranks)


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 n (n - 1) transfers and n (n - 1) additions."""
    n = exchange.ranks
    spans = chunk_spans(exchange.elements, n)
    current = {(rank, chunk): ready[rank] for rank in range(n) for chunk in range(n)}
    sends: list[list[int]] = [[] for _ in range(n)]
    left: dict[tuple[int, int], int] = {}  # send by which a rank gave a chunk away, to be summed
    for step in range(2 * (n - 1)):
        reducing = step < n - 1
        for chunk in range(n):
            src, dst = (chunk + step) % n, (chunk + step + 1) % n
            after = current[src, chunk]
            if not reducing and (dst, chunk) in left:
                # the receive may be posted only once the old value has gone
                after = (*after, left[dst, chunk])
            sent = exchange.send(src, dst, spans[chunk], after=after, landing=reducing)
            if reducing:
                left[src, chunk] = sent
                own = current[dst, chunk]
                current[dst, chunk] = (exchange.add(dst, spans[chunk], sent, after=own),)
            else:
                current[dst, chunk] = (sent,)
                sends[src].append(sent)
    return [
        tuple(sorted({*sends[rank], *(t for c in range(n) for t in current[rank, c])}))
        for rank in range(n)
    ]


def loads(elements: int, prices: Prices) -> list[Load]:
    """Each rank sends all chunks but one in each half, and receives all but one."""
    n = prices.ranks
    sizes = [end - first for first, end in chunk_spans(elements, n)]
    found = []
    for rank in range(n):
        right, left = (rank + 1) % n, (rank - 1) % n
        # chunk (rank + 1) is reduced at this rank last; it never leaves in the first half and
        # chunk (rank + 2) never leaves in the second (it arrives in the last step)
        sent = [(rank - step) % n for step in range(2 * (n - 1))]
        received = [(rank - 1 - step) % n for step in range(2 * (n - 1))]
        found.append(
            Load(
                send_ps=sum(prices.transfer_ps(rank, right, sizes[c]) for c in sent),
                receive_ps=sum(prices.transfer_ps(left, rank, sizes[c]) for c in received),
                add_ps=sum(prices.add_ps(rank, sizes[c]) for c in received[: n - 1]),
            )
        )
    return found


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest chunk's way round, or the busiest lane."""
    n = prices.ranks
    longest = 0
    for chunk, (first, end) in enumerate(chunk_spans(elements, n)):
        way = 0
        for step in range(2 * (n - 1)):
            src, dst = (chunk + step) % n, (chunk + step + 1) % n
            way += prices.transfer_ps(src, dst, end - first)
            way += prices.add_ps(dst, end - first) if step < n - 1 else 0
        longest = max(longest, way)
    if prices.holds_compute:
        longest = max(longest, *(load.total_ps for load in loads(elements, prices)))
    return longest
