"""Routes: which of several shortest paths a transfer takes, found without tables of all pairs.

A path is searched from both ends at once, so it costs what lies within half its length of either
end, in a fat tree some hundred nodes of many thousand. On a torus it follows from coordinates.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from hwprofiles.fabrics.base import Node, number, place_of

Choose = Callable[[Sequence[Node], int], Node]
"""Which of the next nodes, all equally near the goal, to take at a hop."""
Neighbours = Mapping[Node, Mapping[Node, float]]
"""By node: the nodes that its links lead to (or come from), in the order of nodes, each with the
rate of a lone flow."""
Paths = Literal["first", "hash", "balanced"]
WORD = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How a cluster chooses paths; the default is the first of the fewest hops."""

    paths: Paths = "first"
    """Of shortest paths equally wide: the one whose nodes come first (devices by index, then
    switches by name); the one that a hash of the pair picks, as switches do that hash flows; or by
    turns over the destinations, so that all of them together load equal paths alike."""
    relay: bool = True
    """Whether a transfer may pass through a device that is neither of its ends."""
    node_devices: int = 0
    """Devices of a node where all nodes are alike, else 0."""
    exits: tuple[str, ...] = ()
    """The NIC of each device, by which it leaves its node; none where devices are their own."""
    dims: tuple[int, ...] = ()
    """Where each run of so many devices is a torus or mesh: paths in it go dimension by
    dimension."""
    wrap: tuple[bool, ...] = ()
    """Which of ``dims`` are rings."""

    def waypoints(self, src: int, dst: int) -> tuple[Node, ...]:
        """Return the nodes that the path from ``src`` to ``dst`` must visit, both included."""
        if not self.exits or self.exits[src] == self.exits[dst] or self._same_node(src, dst):
            return (src, dst)
        return (src, self.exits[src], self.exits[dst], dst)

    def _same_node(self, src: int, dst: int) -> bool:
        if self.node_devices:
            return src // self.node_devices == dst // self.node_devices
        return self.exits[src].partition(".")[0] == self.exits[dst].partition(".")[0]

    def chooser(self, src: int, dst: int) -> Choose:
        """Return the choice at each hop of the path from ``src`` to ``dst``."""
        if self.paths == "hash":
            return lambda nodes, hop: nodes[_mix(src, dst, hop) % len(nodes)]
        if self.paths == "balanced":
            return _by_turns(self._turn(dst))
        return lambda nodes, hop: nodes[0]

    def _turn(self, dst: int) -> int:
        """Count destinations so that those of one rail, and those of one node, differ by one."""
        return dst // self.node_devices + dst % self.node_devices if self.node_devices else dst

    def on_torus(self, src: int, dst: int) -> list[Node] | None:
        """Return the path in dimension order, None where the two are on no common torus."""
        size = prod(self.dims)
        if not self.dims or src // size != dst // size:
            return None
        base = src - src % size
        return [base + end for end in dimension_order(src - base, dst - base, self.dims, self.wrap)]


def dimension_order(src: int, dst: int, dims: Sequence[int], wrap: Sequence[bool]) -> Iterator[int]:
    """Yield the ends from ``src`` to ``dst``: the first dimension to its end, then the next.

    A ring is gone round the shorter way, upwards where both are equal.
    """
    place, goal = list(place_of(src, dims)), place_of(dst, dims)
    yield src
    for axis, size in enumerate(dims):
        ahead = (goal[axis] - place[axis]) % size
        up = 2 * ahead <= size if wrap[axis] else goal[axis] > place[axis]
        while place[axis] != goal[axis]:
            place[axis] = (place[axis] + (1 if up else -1)) % size
            yield number(place, dims)


@dataclass(frozen=True, slots=True)
class Ways:
    """All paths of the fewest hops between two nodes that are joined."""

    src: Node
    levels: list[set[Node]]
    """Nodes on such paths by how many hops they are from ``src``."""
    width: Mapping[Node, float]
    """Of the widest of such paths from each node to the end."""

    @classmethod
    def between(
        cls, after: Neighbours, before: Neighbours, src: Node, dst: Node, *, relay: bool
    ) -> "Ways":
        """Find them; ``after`` and ``before`` say where a node's links lead, and come from.

        ``relay`` says whether paths may pass through other devices.
        """
        levels = _levels(after, before, src, dst, relay)
        width = {dst: float("inf")}
        for level, nearer in zip(levels[-2::-1], levels[:0:-1], strict=True):
            for node in level:
                ways = after[node]
                width[node] = max(min(ways[n], width[n]) for n in nearer if n in ways)
        return cls(src=src, levels=levels, width=width)

    def path(self, after: Neighbours, choose: Choose) -> list[Node]:
        """Return one of the widest; ``choose`` picks the next node where several lie on such."""
        path, width = [self.src], self.width
        for hop, nearer in enumerate(self.levels[1:]):
            ways = after[path[-1]]
            wide = [n for n in ways if n in nearer and min(ways[n], width[n]) >= width[self.src]]
            path.append(wide[0] if len(wide) == 1 else choose(wide, hop))
        return path


def _levels(
    after: Neighbours, before: Neighbours, src: Node, dst: Node, relay: bool
) -> list[set[Node]]:
    """Return the nodes on shortest paths by how many hops they are from ``src``."""
    hops, left = {src: 0}, {dst: 0}
    front, back = [src], [dst]
    met = {src} & {dst}
    while not met:
        if len(front) <= len(back):
            front = _spread(front, after, hops, dst, relay)
            met = left.keys() & front
        else:
            back = _spread(back, before, left, src, relay)
            met = hops.keys() & back
    levels = [met]
    for hop in range(hops[next(iter(met))] - 1, -1, -1):
        levels.insert(0, {n for node in levels[0] for n in before[node] if hops.get(n) == hop})
    for rest in range(left[next(iter(met))] - 1, -1, -1):
        levels.append({n for node in levels[-1] for n in after[node] if left.get(n) == rest})
    return levels


def _spread(
    border: Iterable[Node], next_to: Neighbours, seen: dict[Node, int], goal: Node, relay: bool
) -> list[Node]:
    """Add the nodes one hop beyond ``border`` to ``seen`` and return them."""
    new: list[Node] = []
    for node in border:
        for neighbour in next_to[node]:
            if neighbour in seen or not (relay or isinstance(neighbour, str) or neighbour == goal):
                continue
            seen[neighbour] = seen[node] + 1
            new.append(neighbour)
    return new


def _by_turns(turn: int) -> Choose:
    """Return choices that take the digits of ``turn``, each in the number base of its hop."""
    rest = turn

    def choose(nodes: Sequence[Node], hop: int) -> Node:
        nonlocal rest
        del hop
        rest, digit = divmod(rest, len(nodes))
        return nodes[digit]

    return choose


def _mix(src: int, dst: int, hop: int) -> int:
    """Return a hash of three numbers, equal on every machine.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    value = (src * 0x9E3779B97F4A7C15 + dst * 0xC2B2AE3D27D4EB4F + hop * 0x165667B19E3779F9) & WORD
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = ((value ^ value >> shift) * factor) & WORD
    return value ^ value >> 31
