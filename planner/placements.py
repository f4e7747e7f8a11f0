"""Placements: on which devices the ranks of a plan sit, one of each class that differs."""

from hwprofiles.cluster import Cluster

NEAREST_UP_TO = 16
"""Devices up to which the order by bandwidth is tried; it looks at every pair."""


def packed(workers: int) -> tuple[int, ...]:
    """Return the first devices, in order: a node is filled before the next is begun."""
    return tuple(range(workers))


def spread(devices: int, node_devices: int, workers: int) -> tuple[int, ...]:
    """Return devices node by node in turn, so that neighbours in rank are in different nodes.

    >>> spread(8, 4, 4)
    (0, 4, 1, 5)
    """
    nodes = devices // node_devices
    return tuple(rank % nodes * node_devices + rank // nodes for rank in range(workers))


def nearest(cluster: Cluster, workers: int) -> tuple[int, ...]:
    """Return devices each of which has the widest way to the one before it, from device 0 on."""
    found = [0]
    while len(found) < workers:
        left = (d for d in range(len(cluster.devices)) if d not in found)
        here = found[-1]
        widths = {d: cluster.route(here, d).bandwidth_bytes_per_s for d in left}
        found.append(max(widths, key=lambda d: (widths[d], -d)))
    return tuple(found)


def placements(cluster: Cluster, workers: int) -> dict[str, tuple[int, ...]]:
    """Return the placements worth a look, by name; those that are the same device by device once.

    ``packed`` always; ``spread`` over nodes where there are several; ``nearest`` by bandwidth where
    devices are few; where kinds of devices are mixed, the first devices of each kind alone.
    """
    devices = len(cluster.devices)
    if workers > devices:
        return {"packed": packed(workers)}
    found = {"packed": packed(workers)}
    node_devices = cluster.routing.node_devices
    if workers > 1 and node_devices:
        found["spread"] = spread(devices, node_devices, workers)
    if workers > 1 and devices <= NEAREST_UP_TO:
        found["nearest"] = nearest(cluster, workers)
    names = [device.name for device in cluster.devices]
    if len(set(names)) > 1:
        for name in dict.fromkeys(names):
            seats = [i for i, other in enumerate(names) if other == name]
            if len(seats) >= workers:
                found[name] = tuple(seats[:workers])
    first = {seats: name for name, seats in reversed(found.items())}
    return {name: seats for name, seats in found.items() if first[seats] == name}
