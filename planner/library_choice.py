"""Which collective a library would run for every bucket of a plan, by the tables of its release.

A policy (:mod:`planner.policies`) chooses among the ways of a collective; a plan can run those of
``RUNS``, a reduction in the switch only within a node whose switch adds. So the choice is an
algorithm, or several that take turns by size, and its name is what the plan records.

The policy's tables are of pipelined algorithms; a plan's tree is not cut into pieces. Where a tree
would take longer for less than the ring from the next size on, the ring begins earlier, by whole
doublings, as nobody has to pay for less payload (:mod:`planner.policies.base`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise

from hwprofiles.errors import PlanError
from hwprofiles.transport import shipped
from planner import steps
from planner.algorithms import algorithm, name_by_size
from planner.collectives.base import Prices
from planner.library_cost import library_prices
from planner.lowering import op_ps
from planner.machine import Machine
from planner.opcall import DTYPE_BYTES
from planner.piece_prices import switched_prices, transfer_prices
from planner.placements import packed
from planner.policies.base import BEST, policy, policy_names
from planner.shapes import offered
from planner.transport_groups import domain_size, group_of
from planner.transport_law import Group, ways

RUNS = {"ring": "ring", "tree": "double_binary_tree", "nvls": "in_network"}
"""Algorithms of the law, and those of plans that stand for them."""
FIRST, LAST = 6, 36
"""Sizes that are looked at: 64 B to 64 GiB."""


def is_policy(name: object) -> bool:
    """Whether a plan's algorithm is asked to be a library's choice."""
    return isinstance(name, str) and name in policy_names() and name != BEST


def library_algorithm(name: str, machine: Machine, workers: int, dtype: str) -> str:
    """Return what the policy ``name`` runs between so many workers, the first devices in order.

    Raises
    ------
    PlanError
        When the links of the machine go through no transport stack.
    """
    known = machine.evidence
    if known is None or not known.system:
        raise PlanError(
            f"cluster {machine.name!r}: expected links whose transport stacks are fitted, for"
            f" --collectives {name}, got none; leave that out, or --software datasheet"
        )
    if workers == 1:
        return "none"
    each = min(workers, domain_size(known.system))
    domains = -(-workers // each)
    group = group_of(known.system, workers, domains)
    item = DTYPE_BYTES[dtype]
    suited = {"ring", "double_binary_tree", *offered(machine.cluster(workers), workers)}
    able = {way: stands for way, stands in RUNS.items() if stands in suited}
    names, limits = _by_size(_chooser(name, group, item, able))
    costs = _costs(machine, workers, dtype)
    return name_by_size(*_rising(names, limits, costs))


def _chooser(
    name: str, group: Group, item_bytes: int, runs: Mapping[str, str]
) -> Callable[[int], str]:
    """Return elements to the algorithm of a plan that stands for the library's."""
    chooser, constants = policy(name), shipped()

    @cache
    def at(elements: int) -> str:
        size = float(elements * item_bytes)
        able = [way for way in ways("all_reduce", size, group) if way.algorithm in runs]
        return runs[chooser.choose(able, size, "all_reduce", group, constants).algorithm]

    return at


def _by_size(at: Callable[[int], str]) -> tuple[list[str], list[int]]:
    """Return the algorithms from the smallest array on, and where each but the first begins."""
    names, limits = [at(1)], list[int]()
    for low, high in pairwise([1, *(2**place for place in range(FIRST, LAST))]):
        if at(high) == names[-1]:
            continue
        below, above = low, high
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if at(middle) == names[-1] else (below, middle)
        names.append(at(high))
        limits.append(above)
    return names, limits


def _costs(machine: Machine, workers: int, dtype: str) -> Callable[[str, int], int]:
    """Return algorithm and elements to the time of one uncontended call, picoseconds."""
    cluster, books = machine.cluster(workers), machine.books(workers)
    placement = packed(workers)
    prices = Prices(
        ranks=workers,
        transfer_ps=transfer_prices(placement, cluster, dtype),
        library_ps=library_prices(placement, cluster, dtype),
        switched=switched_prices(placement, cluster, dtype),
        add_ps=lambda rank, n: op_ps(books[cluster.devices[rank].name], steps.add(n, dtype)),
        holds_compute=any(cluster.devices[d].transfers_hold_compute for d in placement),
    )
    return lambda name, n: algorithm(name).cost_ps(n, prices) + prices.library_ps(name, n)


def _rising(
    names: Sequence[str], limits: Sequence[int], cost_ps: Callable[[str, int], int]
) -> tuple[list[str], list[int]]:
    """Let an algorithm end before the next one is quicker for more than it is for less."""
    kept: list[tuple[str, int]] = []
    for name, limit in zip(names, (1, *limits), strict=True):
        begin = limit
        while kept and kept[-1][0] != name:
            last, start = kept[-1]
            while begin > start and cost_ps(last, begin - 1) > cost_ps(name, begin):
                begin = max(start, begin // 2)
            if begin > start:
                break
            kept.pop()
            begin = start
        if not kept or kept[-1][0] != name:
            kept.append((name, begin))
    return [name for name, _ in kept], [begin for _, begin in kept[1:]]
