"""``topology`` and ``talk`` as Python functions: maps and figures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from planner.algorithms import algorithm
from planner.network import Network, cluster_network, flat_network
from planner.race import SIMULATED_RANKS
from planner.topology import (
    MOST_RANKS,
    Progress,
    TopologyMap,
    rank_counts,
    sampled,
    simple_names,
    topology_map,
)

DEVICE = "v100-sxm2-16g"
"""Adds what arrives, where the network is only a link."""
FEW_RANKS = 64
"""On a cluster with more devices, a sharded star has too many pairs to look up their routes."""


def topology(  # noqa: PLR0913, as many as the command has options
    links: Sequence[str] = (),
    clusters: Sequence[str] = (),
    *,
    ranks: tuple[int, int] | Sequence[int] = (2, 4096),
    first_bytes: int = 1000,
    last_bytes: int = 10**10,
    algorithms: Sequence[str] | None = None,
    device: str = DEVICE,
    samples: int = 0,
    seed: int = 0,
    engine: str | None = None,
    dtype: str | None = None,
    progress: Progress = lambda done, total: None,
    operation: str = "all_reduce",
) -> list[TopologyMap]:
    """Return, network by network, which algorithm is fastest.

    Parameters
    ----------
    links, clusters : sequence of str
        Networks: machines at one switch joined by a link, and clusters by name. A cluster ends the
        range of ``ranks`` at the number of its devices.
    ranks : pair or list of int
        A tuple of two is a range, of which powers of two and the numbers between them are taken;
        a list is what it says.
    first_bytes, last_bytes : int
        Range of the array that every rank holds, of an all-to-all what it has for all.
    algorithms : sequence of str, optional
        Default: all that do ``operation``, but no sharded star on clusters of more than 64 devices.
    device : str
        On which arrivals are added, for ``links``.
    samples, seed, engine
        How many points are simulated too, chosen by which seed, by which engine.
    dtype : str, optional
        Of the array; default: float32, or what the devices compute in instead.
    progress : function
        Called with how many parts of the work are done, and how many there are.
    operation : str
        all_reduce, all_gather, all_to_all, broadcast, ...
    """
    operations = sorted({algorithm(name).OPERATION for name in names("planner.collectives")})
    lookup("operation", operation, operations, error=PlanError)
    networks = [flat_network(link, device, MOST_RANKS, dtype) for link in links]
    networks += [cluster_network(spec, dtype) for spec in clusters]
    counts = [_counts(network, ranks) for network in networks]
    total = sum(map(len, counts)) + samples * len(networks)
    maps, before = [], 0
    for network, count in zip(networks, counts, strict=True):
        found = topology_map(
            network,
            count,
            first_bytes,
            last_bytes,
            algorithms or _algorithms(network, operation),
            _shifted(progress, before, total),
            operation,
        )
        before += len(count)
        if samples:
            points = sampled(
                found,
                samples,
                SIMULATED_RANKS,
                seed=seed,
                engine=engine,
                progress=_shifted(progress, before, total),
            )
            found = replace(found, samples=points)
            before += samples
        maps.append(found)
    return maps


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    """Tell of a part of the work as of the whole."""
    return lambda done, _: progress(before + done, total)


def _counts(network: Network, ranks: tuple[int, int] | Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of ranks to look at; a range ends where the devices of a cluster do."""
    if isinstance(ranks, tuple) and len(ranks) == 2:
        first, last = ranks
        return rank_counts(first, last if network.alike else min(last, network.most_ranks))
    return tuple(ranks)


def _algorithms(network: Network, operation: str) -> Sequence[str]:
    many = not network.alike and network.most_ranks > FEW_RANKS
    simple = [n for n in simple_names(operation) if not (many and n == "sharded_star")]
    return [*simple, *network.numbered(operation)]


def talk(
    folder: Path, progress: Callable[[int, int, str], None] = lambda done, total, part: None
) -> list[Path]:
    """Compute and draw the figures of the talk; return the files, which are always the same.

    A central scheduler against actors and stages; stale updates among stragglers; static against
    dynamic memory. Beside each picture are its numbers, and in README.md the captions.
    """
    from planner.dispatching import KINDS, MICROBATCHES, dispatching
    from planner.memory_policies import JOBS, memory_policies
    from planner.staleness import SPREADS, question, staleness
    from reports.talk import dispatching as dispatching_figure
    from reports.talk import memory as memory_figure
    from reports.talk import staleness as staleness_figure
    from reports.talk.page import check_folder, write_plates

    check_folder(folder)
    parts = (len(KINDS) * len(MICROBATCHES), len(SPREADS), len(JOBS))
    total = sum(parts)

    def part(place: int, name: str) -> Progress:
        return lambda done, _: progress(sum(parts[:place]) + done, total, name)

    asked = question()
    plates = [
        dispatching_figure.plate(dispatching(progress=part(0, "schedulers"))),
        staleness_figure.plate(asked, staleness(asked, progress=part(1, "updates"))),
        memory_figure.plate(memory_policies(progress=part(2, "memory"))),
    ]
    return write_plates(plates, folder)
