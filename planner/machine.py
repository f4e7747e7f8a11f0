"""Machines: a cluster and its op costs, as they are when a given number of workers run.

On a CPU the number of busy cores changes what an op costs (shared clocks, caches, memory), so
``local`` has one calibration for each number of workers; other clusters have one for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.errors import ProfileError
from planner.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Cluster and cost books by number of workers."""

    name: str
    clusters: Mapping[int, Cluster]
    """By number of workers; key 0 serves every number not listed."""
    cost_books: Mapping[int, Mapping[str, CostBook]]
    """By number of workers, then by device name; key 0 serves every number not listed."""
    identities: Mapping[int, Mapping[str, object]]
    """What the calibration was taken on, by number of workers; empty for shipped clusters."""

    def _at(self, workers: int) -> int:
        key = workers if workers in self.clusters else 0
        if key not in self.clusters:
            known = ", ".join(map(str, sorted(self.clusters)))
            raise ProfileError(
                f"cluster {self.name!r}: no op costs for {workers} workers (there are for {known});"
                f" run `foreplan hw calibrate --workers {workers}`"
            )
        return key

    @property
    def devices(self) -> int:
        """Number of devices."""
        return max(len(cluster.devices) for cluster in self.clusters.values())

    def cluster(self, workers: int) -> Cluster:
        """Return the cluster as ``workers`` workers find it."""
        return self.clusters[self._at(workers)]

    def books(self, workers: int) -> Mapping[str, CostBook]:
        """Return the cost books that hold while ``workers`` workers run."""
        return self.cost_books[self._at(workers)]

    def holds_compute(self, plan: Plan) -> bool:
        """Whether transfers hold the compute lanes of this plan's devices."""
        devices = self.cluster(plan.workers).devices
        return devices[plan.placement[0]].transfers_hold_compute
