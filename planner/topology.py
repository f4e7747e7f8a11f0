"""Which algorithm is fastest where: over ranks and bytes, with the sizes at which it changes.

A column of the map is one number of ranks (``planner.race``). Along it the fastest algorithm is
looked for at sizes that are equally far apart on a logarithmic scale; where it changes between two
of them, bisection finds the very number of elements at which it does.

Index letters: A algorithms, R numbers of ranks, B sizes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import PS_PER_S, Ints
from planner.algorithms import algorithm, algorithm_names, numbered_names
from planner.lone_exchange import exchange_graph
from planner.network import Network
from planner.race import NEVER, SIMULATED_RANKS, Race, Switch, equal_part, whole
from sim.engine import choose, run

SIMPLEST = ("star", "ring", "tree", "halving_doubling", "double_binary_tree", "sharded_star")
"""Of algorithms that take equally long the first of these wins."""
A_DECADE = 4
"""Sizes in a decade at which the fastest is looked for."""
AN_OCTAVE = 2
"""Numbers of ranks from a power of two to the next: with 2, the power and the middle."""
MOST_RANKS = 1 << 16
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One point of the map, simulated."""

    ranks: int
    payload_bytes: int
    closed_ps: tuple[int, ...]
    """By algorithm of the map, ``NEVER`` where it does not suit so many ranks."""
    simulated_ps: tuple[int, ...]
    """By algorithm of the map, likewise."""
    mapped_winner: str
    """The fastest by the map."""
    winner: str
    """The fastest by simulation; of equal ones that of the map, or the simplest."""
    engine: str

    @property
    def agrees(self) -> bool:
        """Whether the map names the one that is the fastest by simulation."""
        return self.mapped_winner == self.winner


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TopologyMap:
    """The fastest algorithm of a collective on one network."""

    network: Network
    operation: str
    algorithms: tuple[str, ...]
    ranks: Ints
    """(R,)"""
    payload_bytes: Ints
    """(B,) whole elements."""
    times_ps: Ints
    """(A, R, B) of a lone run, ``NEVER`` where there is none; some behind the second may
    take longer than it says."""
    switches: tuple[Switch, ...]
    """By ranks, then by bytes."""
    simulated: tuple[tuple[int, str], ...]
    """Ranks and algorithms whose closed form is only a bound, so that they are simulated."""
    samples: tuple[Sample, ...] = ()

    def winners(self) -> Ints:
        """(R, B) place in ``algorithms`` of the fastest."""
        found: Ints = self.times_ps.argmin(axis=0)
        return found

    def winner(self, ranks: int, payload_bytes: int) -> str:
        """Return the fastest at one of its numbers of ranks."""
        bands = self.bands(int(np.flatnonzero(self.ranks == ranks)[0]))
        return [name for name, first, _ in bands if first <= max(payload_bytes, bands[0][1])][-1]

    def bands(self, column: int) -> list[tuple[str, int, int]]:
        """Return the fastest of one number of ranks as (algorithm, first bytes, last bytes)."""
        ranks = int(self.ranks[column])
        own = [s for s in self.switches if s.ranks == ranks]
        edges = [int(self.payload_bytes[0]), *(s.first_bytes for s in own)]
        ends = [
            *(s.first_bytes - self.network.item_bytes for s in own),
            int(self.payload_bytes[-1]),
        ]
        first = self.algorithms[self.winners()[column, 0]]
        names = [first, *(s.above for s in own)]
        return list(zip(names, edges, ends, strict=True))


def simple_names(operation: str) -> list[str]:
    """Return the algorithms of an operation that take no numbers, the simplest first."""
    found = algorithm_names(operation)
    return [name for name in SIMPLEST if name in found] + [n for n in found if n not in SIMPLEST]


def rank_counts(first: int, last: int) -> tuple[int, ...]:
    """Return numbers of ranks from ``first`` to ``last``: all up to 8, then two an octave.

    >>> rank_counts(2, 32)
    (2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32)
    """
    octaves = range(last.bit_length())
    steps = (2**k * (AN_OCTAVE + i) // AN_OCTAVE for k in octaves for i in range(AN_OCTAVE))
    return tuple(sorted({first, last, *(n for n in (*range(9), *steps) if first <= n <= last)}))


def topology_map(
    network: Network,
    ranks: Sequence[int],
    first_bytes: int,
    last_bytes: int,
    algorithms: Sequence[str] = SIMPLEST,
    progress: Progress = lambda done, total: None,
    operation: str = "all_reduce",
) -> TopologyMap:
    """Return the fastest of ``algorithms`` for each number of ranks and each size.

    Parameters
    ----------
    ranks : sequence of int
        Each at least 2 and at most ``network.most_ranks``.
    first_bytes, last_bytes : int
        The array on one rank, of an all-to-all what it has for all; whole elements.
    progress : function
        Called with how many numbers of ranks are done, and how many there are.
    operation : str
        What all of them do.

    Raises
    ------
    PlanError
        Numbers of ranks, sizes or algorithms that cannot be.
    """
    _check_operation(operation, algorithms)
    names = _checked(network, ranks, first_bytes, last_bytes, algorithms)
    item_bytes = network.item_bytes
    sizes = _sizes(first_bytes, last_bytes, item_bytes)
    times_ps = np.empty((len(names), len(ranks), len(sizes)), dtype=np.int64)
    switches: list[Switch] = []
    waiting: list[tuple[int, str]] = []
    for column, count in enumerate(ranks):
        race = Race(network, count, names)
        for place, elements in enumerate(sizes):
            times_ps[:, column, place] = race.times_ps(elements)
        for low, high in pairwise(sizes):
            switches += race.switches(low, high)
        waiting += [(count, names[place]) for place, told in race.waits.items() if told]
        progress(column + 1, len(ranks))
    return TopologyMap(
        network=network,
        operation=operation,
        algorithms=names,
        ranks=np.array(ranks),
        payload_bytes=np.array(sizes) * item_bytes,
        times_ps=times_ps,
        switches=tuple(switches),
        simulated=tuple(waiting),
    )


def sampled(
    found: TopologyMap,
    count: int,
    most_ranks: int,
    *,
    seed: int = 0,
    engine: str | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Sample, ...]:
    """Simulate all algorithms at ``count`` points of a map, chosen at random.

    Every algorithm cuts the arrays of these points into equal parts, for with unequal ones a rank
    may wait for another's larger part, which no closed form counts.

    Parameters
    ----------
    most_ranks : int
        Points with more ranks are left out: a ring between n ranks is 3 n (n - 1) tasks.
    engine : str, optional
        One of ``sim.engine.ENGINES``; without it by the number of tasks.
    """
    rng = np.random.default_rng(seed)
    able = found.ranks[found.ranks <= most_ranks]
    if not len(able):
        raise PlanError(
            f"samples: expected a number of ranks up to {most_ranks}, got {found.ranks.min()} and"
            " more; give fewer ranks, or no samples"
        )
    lowest, highest = np.log(found.payload_bytes[[0, -1]] / found.network.item_bytes)
    samples = []
    for done in range(count):
        ranks = int(rng.choice(able))
        part = equal_part(found.algorithms, found.network, ranks)
        elements = math.ceil(float(np.exp(rng.uniform(lowest, highest))) / part) * part
        samples.append(_simulated(found, ranks, elements, engine))
        progress(done + 1, count)
    return tuple(samples)


def _simulated(found: TopologyMap, ranks: int, elements: int, engine: str | None) -> Sample:
    network, names = found.network, found.algorithms
    race, times, used = Race(network, ranks, names), [], ""
    for name, able in zip(names, race.able, strict=True):
        time = NEVER
        if able:
            size, cluster = whole(name, elements, ranks), network.cluster(ranks)
            graph = exchange_graph(name, size, cluster, ranks, network.add_ps, network.dtype)
            used = engine or choose(graph.tasks)
            time = run(graph, used).makespan_ps
        times.append(time)
    payload_bytes = elements * network.item_bytes
    mapped = found.winner(ranks, payload_bytes)
    fastest = [name for name, time in zip(names, times, strict=True) if time == min(times)]
    return Sample(
        ranks=ranks,
        payload_bytes=payload_bytes,
        closed_ps=tuple(race.closed_ps(place, elements) for place in race.places),
        simulated_ps=tuple(times),
        mapped_winner=mapped,
        winner=mapped if mapped in fastest else fastest[0],
        engine=used,
    )


def record(found: TopologyMap) -> dict[str, object]:
    """Return a map as JSON types; its keys are stable."""
    network = found.network
    return {
        "network": network.name,
        "operation": found.operation,
        "bandwidth_bytes_per_s": network.bandwidth_bytes_per_s,
        "fastest_bandwidth_bytes_per_s": network.fastest_bytes_per_s,
        "latency_s": network.latency_s,
        "algorithms": list(found.algorithms),
        "ranks": found.ranks.tolist(),
        "payload_bytes": found.payload_bytes.tolist(),
        "times_s": dict(zip(found.algorithms, map(_seconds, found.times_ps), strict=True)),
        "bands": [
            {"ranks": int(ranks), "algorithm": name, "first_bytes": first, "last_bytes": last}
            for column, ranks in enumerate(found.ranks)
            for name, first, last in found.bands(column)
        ],
        "switches": list(found.switches),
        "simulated": [{"ranks": ranks, "algorithm": name} for ranks, name in found.simulated],
        "samples": list(found.samples),
    }


def _seconds(times_ps: Ints) -> list[list[float | None]]:
    """Return times in seconds, None where there is none."""
    return [[None if t == NEVER else t / PS_PER_S for t in row] for row in times_ps.tolist()]


def _sizes(first_bytes: int, last_bytes: int, item_bytes: int) -> list[int]:
    """Return sizes in elements from the first to the last, equally far apart in their logarithm."""
    first, last = -(-first_bytes // item_bytes), last_bytes // item_bytes
    count = max(2, 1 + round(A_DECADE * float(np.log10(last / first))))
    return sorted({round(float(size)) for size in np.geomspace(first, last, count)})


def spoken(operation: str) -> str:
    """Return the name of an operation for people.

    >>> spoken("all_reduce"), spoken("broadcast")
    ('an all-reduce', 'a broadcast')
    """
    return f"{'an' if operation.startswith('a') else 'a'} {operation.replace('_', '-')}"


def remarks(found: TopologyMap) -> list[str]:
    """Return, for people, where a map is simulated, and where it leaves out what is shared."""
    many, said = f"{SIMULATED_RANKS} ranks", []
    if found.simulated:
        said.append(f"where transfers wait for each other, up to {many}, times are simulated")
    if not found.network.alike and found.ranks.max() > SIMULATED_RANKS:
        said.append(f"above {many} what waits is counted by the busiest link alone")
    return said


def _check_operation(operation: str, algorithms: Sequence[str]) -> None:
    known = [*simple_names(operation), *numbered_names(operation)]
    for name in algorithms:
        if name.partition(":")[0] not in known:
            raise PlanError(
                f"algorithm {name!r}: expected {spoken(operation)}, one of {', '.join(known)}"
            )
        algorithm(name)


def _checked(
    network: Network,
    ranks: Sequence[int],
    first_bytes: int,
    last_bytes: int,
    algorithms: Sequence[str],
) -> tuple[str, ...]:
    """Return the algorithms, the simplest first, or say what is wrong."""
    for count in ranks:
        if not any(network.able(name, count) for name in algorithms):
            raise PlanError(
                f"algorithms: expected one that suits {count} ranks on {network.name!r}, got"
                f" {', '.join(algorithms)}; give other ranks, or more algorithms"
            )
    if not ranks or min(ranks) < 2 or max(ranks) > network.most_ranks:
        raise PlanError(
            f"ranks: expected 2 to {network.most_ranks} on {network.name!r}, got"
            f" {min(ranks, default=0)} to {max(ranks, default=0)}; give numbers in that range"
        )
    if not network.item_bytes <= first_bytes < last_bytes:
        raise PlanError(
            f"bytes: expected {network.item_bytes} B or more and then a larger size, got"
            f" {first_bytes} B to {last_bytes} B; give FIRST:LAST"
        )
    simple = simple_names(algorithm(algorithms[0]).OPERATION)
    others = [name for name in algorithms if name not in simple]
    return (*(name for name in simple if name in algorithms), *others)
