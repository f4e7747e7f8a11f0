"""Bisection: the most that one half of a fabric can send to the other at once."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

ROUNDING_BYTES_PER_S = 1.0
"""Smaller capacities are what rounding leaves of used ones."""
SOURCE, SINK = "left half", "right half"
Capacity = dict[Hashable, dict[Hashable, float]]


def flow_bytes_per_s(
    wires: Iterable[tuple[Hashable, Hashable, float]], left: set[int], right: set[int]
) -> float:
    """Return the largest flow from the ends in ``left`` to those in ``right``.

    Parameters
    ----------
    wires : iterable of (from, to, bytes per second)
        Directed; whole numbers are ends, anything else is a switch.
    left, right : set of int
        Ends that send and receive, as fast as their wires allow.

    Notes
    -----
    All ends of a half are one node, so only switches are left to search. Dinic's algorithm: while
    the sink can be reached, fill all shortest paths (Soviet Math. Doklady 11, 1970).
    """
    rest: Capacity = defaultdict(lambda: defaultdict(float))
    for start, end, capacity in wires:
        a, b = (
            SOURCE if node in left else SINK if node in right else node for node in (start, end)
        )
        if a != b:
            rest[a][b] += capacity
            rest[b][a] += 0.0
    total = 0.0
    while SINK in (level := _levels(rest)):
        todo = {node: list(rest[node]) for node in level}
        total += _push(SOURCE, float("inf"), rest, level, todo)
    return total


def _levels(rest: Capacity) -> dict[Hashable, int]:
    """Return how many hops with room it is from the source, for what can be reached."""
    level: dict[Hashable, int] = {SOURCE: 0}
    border: list[Hashable] = [SOURCE]
    while border and SINK not in level:
        new = []
        for node in border:
            for after, room in rest[node].items():
                if room > ROUNDING_BYTES_PER_S and after not in level:
                    level[after] = level[node] + 1
                    new.append(after)
        border = new
    return level


def _push(
    node: Hashable,
    limit: float,
    rest: Capacity,
    level: dict[Hashable, int],
    todo: dict[Hashable, list[Hashable]],
) -> float:
    """Send up to ``limit`` from ``node`` to the sink over shortest paths; return what was sent."""
    if node == SINK:
        return limit
    sent = 0.0
    while todo[node]:
        after = todo[node][-1]
        room = rest[node][after]
        if room > ROUNDING_BYTES_PER_S and level.get(after) == level[node] + 1:
            got = _push(after, min(limit - sent, room), rest, level, todo)
            rest[node][after] -= got
            rest[after][node] += got
            sent += got
            if limit - sent <= ROUNDING_BYTES_PER_S:
                break
        todo[node].pop()
    return sent
