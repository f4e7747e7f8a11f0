"""Bisection: the most that one half of a fabric can send to the other at once."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from hwprofiles.fabrics.base import Node, Wire

ROUNDING_BYTES_PER_S = 1.0
"""Smaller capacities are what rounding leaves of used ones."""
SOURCE, SINK = "left half", "right half"
Capacity = dict[Node, dict[Node, float]]


def flow_bytes_per_s(
    wires: Iterable[Wire], rate: Callable[[str], float], left: Iterable[int], right: Iterable[int]
) -> float:
    """Return the largest flow from the ends in ``left`` to those in ``right``.

    Parameters
    ----------
    wires : iterable of Wire
        Whole numbers are ends, anything else is a switch.
    rate : callable
        Bytes per second of a link by its name.
    left, right : iterable of int
        Ends that send and receive, as fast as their wires allow.

    Notes
    -----
    All ends of a half are one node, so only switches are left to search. Dinic's algorithm: while
    the sink can be reached, fill all shortest paths (Soviet Math. Doklady 11, 1970).
    """
    half: dict[Node, Node] = dict.fromkeys(left, SOURCE)
    half |= dict.fromkeys(right, SINK)
    cables: defaultdict[tuple[Node, Node, str, bool], float] = defaultdict(float)
    for start, end, link, count, directed in wires:
        cables[half.get(start, start), half.get(end, end), link, directed] += count
    rest: Capacity = defaultdict(lambda: defaultdict(float))
    for (start, end, link, directed), count in cables.items():
        if start != end:
            room = rate(link) * count
            rest[start][end] += room
            rest[end][start] += 0.0 if directed else room
    total = 0.0
    while SINK in (level := _levels(rest)):
        todo = {node: list(rest[node]) for node in level}
        total += _push(SOURCE, float("inf"), rest, level, todo)
    return total


def _levels(rest: Capacity) -> dict[Node, int]:
    """Return how many hops with room it is from the source, for what can be reached."""
    level: dict[Node, int] = {SOURCE: 0}
    border: list[Node] = [SOURCE]
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
    node: Node,
    limit: float,
    rest: Capacity,
    level: dict[Node, int],
    todo: dict[Node, list[Node]],
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
