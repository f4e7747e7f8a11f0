"""Rail-optimised: NIC i of every node at leaf i of its group, so a rail needs no spine.

Source: NVIDIA DGX SuperPOD reference architectures (a scalable unit of 20 or 32 nodes).
"""

from collections.abc import Iterator

from hwprofiles.fabrics.base import Wire, check, spines_above
from hwprofiles.facts import Count, Ratio, Text


def build(
    ends: int,
    *,
    link: Text,
    rails: Count,
    nodes_per_leaf: Count,
    spines: Count | None = None,
    oversubscription: Ratio = 1.0,
) -> Iterator[Wire]:
    """Return the wires; end ``e`` is NIC ``e % rails`` of node ``e // rails``.

    Parameters
    ----------
    ends : int
        NICs of all nodes, those of a node together.
    link : str
        One cable, down or up.
    rails : int
        NICs of a node.
    nodes_per_leaf : int
        Nodes of a group: each of its leaves has one port down to each of them.
    spines : int, optional
        Every leaf's uplinks are spread over so many; one a cable by default.
    oversubscription : float
        Ports down of a leaf over its ports up.

    Raises
    ------
    ProfileError
        ``ends`` is no multiple of ``rails``.
    """
    check(ends % rails == 0, f"rails: expected a divisor of {ends} NICs, got {rails}")
    groups = -(-ends // rails // nodes_per_leaf)
    for end in range(ends):
        yield Wire(end, f"leaf{end // rails // nodes_per_leaf}.{end % rails}", link)
    leaves = [f"leaf{group}.{rail}" for group in range(groups) for rail in range(rails)]
    yield from spines_above(leaves, link, nodes_per_leaf / oversubscription, spines)
