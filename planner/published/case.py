"""A published run as a plan: its devices, its machine, what it leaves unsaid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hwprofiles.cluster import Cluster
from hwprofiles.clusters import load_cluster
from hwprofiles.costs import CostBook
from hwprofiles.device import Device
from hwprofiles.efficiency import Table, with_efficiency
from hwprofiles.grade import Grade
from hwprofiles.parts import load_device
from planner.machine import Machine
from planner.plan import Plan, Training
from planner.published.pipelined import Stages
from planner.transport_law import Lane

MANY = 64
"""Most devices of a run that constants are fitted to; larger ones show how well they carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A published run as a plan."""

    model: str
    device: str
    system: str
    """Where more than one device runs; else empty."""
    training: Training
    plan: Plan
    stack: str
    between: Lane | None = None
    """NICs of a node, where the row states others than the system has."""
    stages: Stages | None = None
    """Where it runs in stages, one on each worker."""
    images_per_node_s: float | None = None
    """What the cores of a host decode; None where there are no files, or the host is not known."""
    passes_only: bool = False
    """Whether only forward and backward were timed: no input, no update."""
    assumed: Mapping[str, Any] = field(default_factory=dict)
    """What the row leaves unsaid, by column."""

    def efficient(self, table: Table | None = None) -> Device:
        """Return the device with the efficiency of its generation under the run's software."""
        return with_efficiency(shipped_device(self.device), self.stack, table)

    def grade(self, table: Table | None = None) -> Grade:
        """Return how well the products of the run are known, which take most of its time."""
        dtype = self.training.dtype
        return self.efficient(table).curve("linear", dtype, work_class="linear").grade

    def machine(self, table: Table | None = None, *, efficient: bool = True) -> Machine:
        """Return the machine of the run; without ``efficient`` at the peaks of the datasheet.

        ``table`` takes the place of the shipped constants.
        """
        device = self.efficient(table) if efficient else shipped_device(self.device)
        cluster = Cluster.from_edges("one", [device], [])
        if self.stages and self.system:  # whose transfers are tasks; else only calls cross links
            cluster = _cluster(self.system)
        book = CostBook(device=device, ops={})
        books = dict.fromkeys((d.name for d in cluster.devices), book)
        return Machine(
            name=cluster.name, clusters={0: cluster}, cost_books={0: books}, identities={}
        )


@cache
def shipped_device(name: str) -> Device:
    """Return a device; its file is read once."""
    return load_device(name)


@cache
def _cluster(system: str) -> Cluster:
    return load_cluster(system)
