"""Networks to hold an exchange against: a link between machines, or a cluster that has a name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.clusters import load_cluster
from hwprofiles.costs import CostBook
from hwprofiles.device import Device
from hwprofiles.errors import PlanError
from hwprofiles.fabrics.flat import build as flat
from hwprofiles.link import Link
from hwprofiles.parts import load_device, load_link
from hwprofiles.tiers import format_rate
from hwprofiles.units import Ints
from planner.algorithms import algorithm, is_switched
from planner.collectives.base import Prices
from planner.lowering import op_ps
from planner.opcall import DTYPE_BYTES
from planner.piece_prices import transfer_prices
from planner.shapes import PIECED, shaped_names, suits
from planner.steps import add

UNKNOWN = -1
HOLDING_RANKS = 64
"""Most ranks whose closed form is worked out where transfers hold the compute lane: there it counts
every transfer, and a ring has 2 n (n - 1) of them."""

CLUSTER_RANKS = 1 << 13
"""Most ranks of a cluster: what kind of route joins each pair of them is kept, 0.5 GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Ranks 0, 1, ... on the devices of a cluster, in their order."""

    name: str
    bandwidth_bytes_per_s: float
    """Of the slowest route from the first device."""
    latency_s: float
    """Of that route."""
    fastest_bytes_per_s: float
    """Of the fastest route from there."""
    most_ranks: int
    alike: bool
    """Whether all pairs have the same route, each by links of its own."""
    cluster: Callable[[int], Cluster]
    """The cluster that so many ranks need."""
    dtype: str = "float32"
    """Of the array that is exchanged."""
    shaped: tuple[str, ...] = ()
    """Algorithms with numbers that its fabric calls for, of any operation."""

    @property
    def item_bytes(self) -> int:
        """Bytes of an element of the array."""
        return DTYPE_BYTES[self.dtype]

    @property
    def rates(self) -> str:
        """Rate of its routes, for people."""
        slowest, fastest = self.bandwidth_bytes_per_s, self.fastest_bytes_per_s
        text = format_rate(slowest)
        return text if fastest == slowest else f"{text} (slowest pair) to {format_rate(fastest)}"

    def able(self, name: str, ranks: int) -> bool:
        """Whether so many ranks can run an algorithm here."""
        few = self.alike and not is_switched(name)  # that one asks who is at the switch
        return suits(name, self.cluster(2 if few else ranks), ranks)

    def numbered(self, operation: str) -> list[str]:
        """Return the algorithms with numbers that suit it and do an operation."""
        return [n for n in (*self.shaped, *PIECED) if operation == algorithm(n).OPERATION]

    def add_ps(self, rank: int, elements: int) -> int:
        """Time in which ``rank`` adds what has arrived."""
        device = self.cluster(2).devices[0 if self.alike else rank]
        return op_ps(CostBook(device=device, ops={}), add(elements, self.dtype))

    def prices(self, ranks: int) -> Prices:
        """Return what transfers and additions cost between the first ``ranks`` ranks.

        Raises
        ------
        PlanError
            More ranks than there are devices, or than can be priced.
        """
        if ranks > self.most_ranks:
            raise PlanError(
                f"network {self.name!r}: expected at most {self.most_ranks} ranks, got {ranks};"
                " give fewer"
            )
        cluster = self.cluster(2 if self.alike else ranks)
        transfer_ps = transfer_prices(tuple(range(len(cluster.devices))), cluster, self.dtype)
        if self.alike:
            return self._alike_prices(ranks, transfer_ps)
        first_pair: dict[tuple[int, ...], tuple[int, int]] = {}
        first_rank: dict[str, int] = {}
        add_ps = cache(self.add_ps)

        @cache
        def stand_in(src: int, dst: int) -> tuple[int, int]:
            """Return the first pair whose route has the same links; equal ones are one object."""
            links = tuple(map(id, cluster.route(src, dst).links))
            return first_pair.setdefault(links, (src, dst))

        def lone_transfer_ps(src: int, dst: int, elements: int) -> int:
            return transfer_ps(*stand_in(src, dst), elements)

        def own_add_ps(rank: int, elements: int) -> int:
            name = cluster.devices[rank].name
            return add_ps(first_rank.setdefault(name, rank), elements)

        kind_of: Ints = np.full(ranks * ranks, UNKNOWN, dtype=np.int64)
        number: dict[object, int] = {}

        def kinds(src: Ints, dst: Ints) -> Ints:
            """Return one number for each route that has the same links, and for each device."""
            pairs = src * ranks + dst
            found: Ints = kind_of[pairs]
            if (new := found == UNKNOWN).any():
                for pair in np.unique(pairs[new]).tolist():
                    a, b = divmod(pair, ranks)
                    kind = cluster.devices[a].name if a == b else stand_in(a, b)
                    kind_of[pair] = number.setdefault(kind, len(number))
                found = kind_of[pairs]
            return found

        return Prices(
            ranks=ranks,
            transfer_ps=lone_transfer_ps,
            add_ps=own_add_ps,
            holds_compute=cluster.devices[0].transfers_hold_compute,
            kinds=kinds,
        )

    def _alike_prices(self, ranks: int, transfer_ps: Callable[[int, int, int], int]) -> Prices:
        """Return the prices where those of ranks 0 and 1 are those of all."""
        add_ps = cache(partial(self.add_ps, 0))
        return Prices(
            ranks=ranks,
            transfer_ps=lambda src, dst, elements: transfer_ps(0, 1, elements),
            add_ps=lambda rank, elements: add_ps(elements),
            holds_compute=self.cluster(2).devices[0].transfers_hold_compute,
            alike=True,
        )


def flat_network(link: str, device: str, most_ranks: int, dtype: str | None = None) -> Network:
    """Return machines at one switch that never blocks, each by one ``link`` both ways.

    Without a ``dtype`` it is the usual one of the device.

    The NIC of a rank carries one transfer in and one out at a time, so whoever sends to the server
    of a star waits for its turn.
    """
    kind, wire = load_device(device), load_link(link)

    @cache
    def cluster(ranks: int) -> Cluster:
        return _flat_cluster(ranks, kind, wire)

    route = cluster(2).route(0, 1)
    return Network(
        name=wire.name,
        bandwidth_bytes_per_s=route.bandwidth_bytes_per_s,
        latency_s=route.overhead_s(0.0),
        fastest_bytes_per_s=route.bandwidth_bytes_per_s,
        most_ranks=HOLDING_RANKS if kind.transfers_hold_compute else most_ranks,
        alike=True,
        cluster=cluster,
        dtype=dtype or kind.usual_dtype(),
    )


def cluster_network(spec: str, dtype: str | None = None) -> Network:
    """Return the devices of the cluster called ``spec``, as it numbers them.

    Without a ``dtype`` it is the usual one of its devices.
    """
    cluster = load_cluster(spec)
    devices = len(cluster.devices)
    routes = [cluster.route(0, other) for other in range(1, devices)]
    if not routes:
        raise PlanError(
            f"cluster {spec!r}: expected two devices or more, got 1; name a larger one, such as"
            f" {spec}:2"
        )
    slowest = min(routes, key=lambda route: route.bandwidth_bytes_per_s)
    holds = cluster.devices[0].transfers_hold_compute
    return Network(
        name=cluster.name,
        bandwidth_bytes_per_s=slowest.bandwidth_bytes_per_s,
        latency_s=slowest.overhead_s(0.0),
        fastest_bytes_per_s=max(route.bandwidth_bytes_per_s for route in routes),
        most_ranks=min(devices, HOLDING_RANKS if holds else CLUSTER_RANKS),
        alike=False,
        cluster=lambda ranks: cluster,
        dtype=dtype or cluster.devices[0].usual_dtype(),
        shaped=shaped_names(cluster),
    )


def _flat_cluster(ranks: int, device: Device, link: Link) -> Cluster:
    """Return ``ranks`` devices at a switch: half of the latency on the way in, half on the way out.

    ASSUMES: as in ``load_cluster``, the latency of a link is that of a message between machines.
    """
    wire = link.cable(1, link.overheads[0][1] / 2, float("inf"))
    edges = [(a, b, wire) for w in flat(ranks, link=link.name) for a, b in _both(w.start, w.end)]
    return Cluster.from_edges(f"{ranks} x {link.name}", [device] * ranks, edges, link.source)


def _both(start: int | str, end: int | str) -> tuple[tuple[int | str, int | str], ...]:
    return (start, end), (end, start)
