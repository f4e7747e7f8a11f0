"""Machines: a cluster and its op costs, as they are when a given number of workers run.

On a CPU the number of busy cores changes what an op costs (shared clocks, caches, memory), so
``local`` has one calibration for each number of workers; other clusters have one for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.errors import PlanError, ProfileError
from hwprofiles.units import HOUR_S
from planner.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRates:
    """What a node costs and draws, where its file says so; nodes are rented and fed whole."""

    devices: int
    """Of a node; nodes are numbered through."""
    usd_per_h: float | None = None
    watts: float | None = None


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
    node: NodeRates | None = None
    """Price and power of a node, where they are known."""
    evidence: Evidence | None = None
    """What its devices' efficiency rests on, where it is not their datasheet's."""

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

    def usd_per_s(self, workers: int, placement: Sequence[int]) -> float:
        """Return the price of a second: of the nodes in use, else of the devices in use.

        Raises
        ------
        PlanError
            When neither is known.
        """
        if self.node and self.node.usd_per_h is not None:
            return self._nodes(placement) * self.node.usd_per_h / HOUR_S
        prices = self._of_devices(
            workers, placement, "price_usd_per_h", "price", "[price] usd_per_h"
        )
        return sum(prices) / HOUR_S

    def watts(self, workers: int, placement: Sequence[int]) -> float:
        """Return the power of the nodes in use, else of the boards in use; most by design.

        Raises
        ------
        PlanError
            When neither is known.
        """
        if self.node and self.node.watts is not None:
            return self._nodes(placement) * self.node.watts
        return sum(self._of_devices(workers, placement, "power_w", "power", "[power] board_w"))

    def _nodes(self, placement: Sequence[int]) -> int:
        """Number of nodes in use."""
        assert self.node is not None
        return len({device // self.node.devices for device in placement})

    def _of_devices(
        self, workers: int, placement: Sequence[int], name: str, what: str, key: str
    ) -> list[float]:
        devices = self.cluster(workers).devices
        values = []
        for device in (devices[place] for place in placement):
            if (value := getattr(device, name)) is None:
                raise PlanError(
                    f"cluster {self.name!r}: the {what} of device {device.name!r} is not known; add"
                    f" {key} to its file, or choose another objective"
                )
            values.append(value)
        return values
