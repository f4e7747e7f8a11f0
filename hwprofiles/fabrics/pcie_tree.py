"""PCIe tree: devices and NICs at switches, switches at sockets, sockets joined by their own link.

A socket stands for its host bridges: between two of its ports it carries what the ports do.
"""

from collections.abc import Iterator
from itertools import combinations

from hwprofiles.fabrics.base import Wire, check
from hwprofiles.facts import Count, Text, Whole


def build(
    ends: int,
    *,
    link: Text,
    hosts: Count = 1,
    sockets: Count = 2,
    switches: Whole = 0,
    nics: Whole = 0,
    nic_link: Text | None = None,
    socket_link: Text | None = None,
) -> Iterator[Wire]:
    """Return the tree of one node: everything is spread evenly, in order.

    Parameters
    ----------
    ends : int
        Devices of the node.
    link : str
        Of a device to its switch (or socket), and of a switch to its socket.
    hosts, sockets, switches, nics : int
        Hosts of the node; sockets, PCIe switches and NICs of all its hosts together. Without
        switches devices and NICs sit at the sockets.
    nic_link : str, optional
        Of a NIC to its switch; ``link`` by default.
    socket_link : str, optional
        Between every two sockets of a host; without it they are not joined.

    Raises
    ------
    ProfileError
        Sockets, switches, devices or NICs do not spread evenly.
    """
    check(sockets % hosts == 0, f"sockets: expected a multiple of {hosts} hosts, got {sockets}")
    check(
        switches % sockets == 0,
        f"switches: expected a multiple of {sockets} sockets or none, got {switches}",
    )
    for a, b in combinations(range(sockets), 2):
        if socket_link and a * hosts // sockets == b * hosts // sockets:
            yield Wire(f"cpu{a}", f"cpu{b}", socket_link)
    places = [f"pcie{i}" for i in range(switches)] or [f"cpu{i}" for i in range(sockets)]
    for i in range(switches):
        yield Wire(f"pcie{i}", f"cpu{i * sockets // switches}", link)
    for device in range(ends):
        yield Wire(device, places[device * len(places) // ends], link)
    for nic in range(nics):
        yield Wire(f"nic{nic}", places[nic * len(places) // nics], nic_link or link)
