"""Jitter: whether one plan stays faster than another when every task takes a little more or less.

List scheduling has anomalies, and costs are never exact; an order that a change of a per cent turns
round is no order to build on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.machine import Machine
from planner.reprice import Lowered, time_again
from sim.taskgraph import TaskGraph

JITTER_FRAC = 0.01
MOST_TASKS = 2_000_000
"""Of both plans and all seeds together: about two seconds."""
LEAST_SEEDS, MOST_SEEDS = 10, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Whether a plan stayed ahead of another."""

    jitter_frac: float
    seeds: int
    held: int
    """Seeds with which the plan was still the faster one, or as fast."""
    least_frac: float
    """Smallest lead that was seen, as a fraction of the plan's step; negative where it lost."""
    most_frac: float


def order(
    ahead: Lowered,
    behind: Lowered,
    machine: Machine,
    seeds: int | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Order:
    """Simulate both plans with jitter of ``JITTER_FRAC``, seed by seed.

    The same task gets the same jitter in both plans, so that only what differs can decide.
    """
    pair = [(plan.on(machine), _names(plan)) for plan in (ahead, behind)]
    tasks = sum(graph.tasks for graph, _ in pair)
    count = seeds or max(LEAST_SEEDS, min(MOST_SEEDS, MOST_TASKS // max(1, tasks)))
    leads = []
    for seed in range(count):
        told(seed, count)
        a_ps, b_ps = (time_again(jittered(graph, names, seed)).makespan_ps for graph, names in pair)
        leads.append(b_ps / a_ps - 1)
    return Order(
        jitter_frac=JITTER_FRAC,
        seeds=count,
        held=sum(lead >= 0 for lead in leads),
        least_frac=min(leads),
        most_frac=max(leads),
    )


def jittered(graph: TaskGraph, names: Ints, seed: int) -> TaskGraph:
    """Return the graph with every duration and payload off by up to ``JITTER_FRAC``.

    ``names`` are the hashes of the tasks' names, shape (N,): tasks of one name get one jitter.
    """
    factor = 1 + JITTER_FRAC * (2 * _uniform(names, seed) - 1)
    return replace(
        graph,
        duration_ps=np.ceil(graph.duration_ps * factor).astype(np.int64),
        payload_bytes=np.ceil(graph.payload_bytes * factor).astype(np.int64),
    )


def _names(plan: Lowered) -> Ints:
    labels = (plan.program.label(task) for task in range(len(plan.program.tasks)))
    return np.array([crc32(label.encode()) for label in labels], dtype=np.int64)


def _uniform(names: Ints, seed: int) -> Floats:
    """Return a number in 0-1 for every name, equal on every machine.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    with np.errstate(over="ignore"):
        value = names.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
        value ^= value >> np.uint64(31)
    return (value >> np.uint64(11)).astype(np.float64) / 2**53
