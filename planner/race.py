"""Collectives against each other between one number of ranks: by closed form, or by simulation.

A closed form is the simulation where no transfer waits for another one, and is never above it. So
of each algorithm that might win among a few ranks it is asked, once, whether it is the simulation.
Those of which it is only a bound (their routes share links, or transfers meet on a lane) are
simulated at the sizes at which they might win, and nowhere else. Among more ranks the busiest link
is counted beside the closed form.
"""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import lcm

import numpy as np

from hwprofiles.units import PS_PER_S
from planner.agenda import SLOW_TASKS
from planner.algorithms import Numbered, algorithm
from planner.collectives.halving_doubling import core
from planner.collectives.in_network import PIECES
from planner.emission import script_of
from planner.lone_exchange import LoneExchanges, exchange_graph
from planner.network import Network
from planner.switching import SWITCH, route_between
from sim.engine import compiles, run
from sim.taskgraph import TaskGraph

NEVER = int(np.iinfo(np.int64).max)
"""Time of an algorithm on ranks that it does not suit."""
SIMULATED_RANKS = 32
"""Most ranks that are simulated: a ring of theirs is 3,000 tasks."""
COUNTED_RANKS = 256
"""Most ranks whose links are added up: eight rings of theirs are 1,600,000 moves, a second."""
PROBED_ELEMENTS = (1_000_000_000, 1_000_000, 1_000)
"""Sizes at which a closed form is held against the simulation: where bytes rule, where
overheads do, and between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Where, with more bytes, another algorithm becomes the fastest."""

    ranks: int
    below: str
    above: str
    first_bytes: int
    """Least size at which ``above`` wins; one element less, and ``below`` does."""


def whole(name: str, elements: int, ranks: int) -> int:
    """Return the size of the array that an algorithm exchanges: of an all-to-all, all rows."""
    return elements * ranks if algorithm(name).OPERATION == "all_to_all" else elements


def equal_part(names: Sequence[str], network: Network, ranks: int) -> int:
    """Return a size of which every algorithm cuts each multiple into equal parts.

    With unequal ones a rank may wait for another's larger part, which no closed form counts.
    """
    parts = [core(ranks)] if network.shaped else []
    for name in names:
        found = algorithm(name)
        if isinstance(found, Numbered) and network.able(name, ranks):
            parts += found.numbers
        parts += [PIECES] if name == "in_network" else []
    return whole(names[0], lcm(ranks, core(ranks), 2) * lcm(1, *parts), ranks)


def graphs(network: Network, name: str, ranks: int) -> Callable[[int], TaskGraph]:
    """Return elements to the graph of one run of an algorithm by itself.

    Parts of an all-reduce are as wide as the widest: who of two transfers is first on a lane would
    hang on an element more or less.
    """
    cluster, dtype = network.cluster(ranks), network.dtype
    if algorithm(name).OPERATION == "all_reduce":
        runs = LoneExchanges(
            name=name, cluster=cluster, ranks=ranks, add_ps=network.add_ps, dtype=dtype
        )
        return lambda n: runs.graph(runs.even(n))
    return lambda n: exchange_graph(
        name, whole(name, n, ranks), cluster, ranks, network.add_ps, dtype
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWork:
    """What the busiest link of an all-reduce carries; of other collectives it is not worked out."""

    blocks: int = 1
    """Equal parts of the array that moves are made of."""
    block_s: float = 0.0
    """Time of the link with all that it carries, for each element of a block."""

    @classmethod
    def of(cls, network: Network, name: str, ranks: int) -> "LinkWork":
        """Add up what crosses every link."""
        shared = not network.alike and ranks <= COUNTED_RANKS
        if not shared or algorithm(name).OPERATION != "all_reduce":
            return cls()
        script, cluster = script_of(algorithm(name).emit, ranks), network.cluster(ranks)
        pairs, pair_of = np.unique(script.pairs[script.sends], return_inverse=True)
        blocks = np.bincount(pair_of, (script.end - script.first)[script.sends])
        carried = np.zeros(len(cluster.links))
        for pair, count in zip(pairs.tolist(), blocks.tolist(), strict=True):
            ends = (SWITCH if rank == ranks else rank for rank in divmod(pair, ranks + 1))
            carried[list(route_between(cluster, range(ranks), *ends).link_ids)] += count
        rates = np.array([link.bandwidth_bytes_per_s for link in cluster.links])
        return cls(
            blocks=script.blocks, block_s=float((carried / rates).max()) * network.item_bytes
        )

    def least_ps(self, elements: int) -> int:
        """Return the time of the link with an array of so many elements."""
        return int(elements // self.blocks * self.block_s * PS_PER_S)


class Race:
    """The algorithms against each other, between one number of ranks; the simplest first."""

    def __init__(self, network: Network, ranks: int, names: Sequence[str]) -> None:
        self.network = network
        self.prices = network.prices(ranks)
        self.names = names
        self.ranks = ranks
        self.part = equal_part(names, network, ranks)
        self.able = [network.able(name, ranks) for name in names]
        self.places = range(len(names))
        self.waits: dict[int, bool] = {}
        """By place, of those that might have won: whether simulations are above the closed form."""
        self.work = cache(lambda place: LinkWork.of(network, names[place], ranks))
        self.graphs = cache(lambda place: graphs(network, names[place], ranks))
        self.closed_ps = cache(self._closed_ps)
        self.time_ps = cache(self._time_ps)

    def _closed_ps(self, place: int, elements: int) -> int:
        """Return the closed form of one, ``NEVER`` if it does not suit so many ranks."""
        if not self.able[place]:
            return NEVER
        name = self.names[place]
        return algorithm(name).cost_ps(whole(name, elements, self.ranks), self.prices)

    def least_ps(self, place: int, elements: int) -> int:
        """Return the closed form of one, or the time of its busiest link where that is longer."""
        if not self.able[place]:
            return NEVER
        return max(self.closed_ps(place, elements), self.work(place).least_ps(elements))

    def _has_waits(self, place: int) -> bool:
        """Hold the closed form of one against simulations, once."""
        if self.ranks > SIMULATED_RANKS or not self.able[place]:
            return False
        if place not in self.waits:
            sizes = [-(-elements // self.part) * self.part for elements in PROBED_ELEMENTS]
            self.waits[place] = any(
                self._simulated_ps(place, n) != self.closed_ps(place, n) for n in sizes
            )
        return self.waits[place]

    def _simulated_ps(self, place: int, elements: int) -> int:
        graph = self.graphs(place)(elements)
        is_small = graph.tasks < SLOW_TASKS and compiles("array")
        return run(graph, "heap" if is_small else "array").makespan_ps

    def _time_ps(self, place: int, elements: int) -> int:
        """Return the time of one: simulated where the closed form is known to be a bound."""
        if self._has_waits(place):
            return self._simulated_ps(place, elements)
        return self.least_ps(place, elements)

    def _ranked(self, elements: int, among: Sequence[int], count: int) -> list[tuple[int, int]]:
        """Return (time, place) in order, so far that the first ``count`` are the fastest.

        Of equal ones the simplest is first; whoever is missing takes longer.
        """
        found: list[tuple[int, int]] = []
        for place in sorted(among, key=lambda place: self.least_ps(place, elements)):
            if len(found) < count or self.least_ps(place, elements) <= found[count - 1][0]:
                insort(found, (self.time_ps(place, elements), place))
        return found

    def times_ps(self, elements: int) -> tuple[int, ...]:
        """Return the time of each; of some behind the second only what they take at least."""
        known = {place: time for time, place in self._ranked(elements, self.places, 2)}
        return tuple(known.get(p, self.least_ps(p, elements)) for p in self.places)

    def winner(self, elements: int, among: Sequence[int] | None = None) -> str:
        """Return the fastest, of all or of some places; of equal ones the simplest."""
        return self.names[self._ranked(elements, among or self.places, 1)[0][1]]

    def contenders(self, low: int, high: int) -> list[int]:
        """Return the places of those that may win between two sizes.

        Closed forms never fall: one that takes longer for the smaller size than another for the
        larger one is always behind it.
        """
        most = min(self.times_ps(high))
        return [place for place in self.places if self.least_ps(place, low) <= most]

    def switches(self, low: int, high: int) -> list[Switch]:
        """Return where the fastest changes between two sizes in elements.

        Where it changes there and back again between them, that is not seen.
        """
        found, among = [], self.contenders(low, high)
        while (below := self.winner(low, among)) != self.winner(high, among):
            left, right, halves = low, high, False
            while right - left > 1:
                middle = (left + right) // 2 if halves else self._crossing(left, right, among)
                halves = not halves
                if self.winner(middle, among) == below:
                    left = middle
                else:
                    right = middle
            found.append(
                Switch(
                    ranks=self.ranks,
                    below=below,
                    above=self.winner(right, among),
                    first_bytes=right * self.network.item_bytes,
                )
            )
            low = right
        return found

    def _crossing(self, left: int, right: int, among: Sequence[int]) -> int:
        """Return a size between two where their fastest would meet, were both times straight."""
        below, above = (self.names.index(self.winner(size, among)) for size in (left, right))
        ahead, behind = (
            abs(self.time_ps(below, size) - self.time_ps(above, size)) for size in (left, right)
        )
        share = ahead / (ahead + behind) if ahead + behind else 0.5
        return min(max(left + round((right - left) * share), left + 1), right - 1)
