"""Fat tree of three levels: leaves, the spines of a pod, and cores between pods.

Every spine of a pod is a plane of its own: spine i of each pod meets the cores of plane i.

Source: Al-Fares, Loukissas and Vahdat, SIGCOMM 2008; with ``per_leaf`` = ``leaves_per_pod`` = k/2
it is their fat tree of k-port switches.
"""

from collections.abc import Iterator

from hwprofiles.fabrics.base import Wire, spines_above
from hwprofiles.facts import Count, Ratio, Text


def build(
    ends: int,
    *,
    link: Text,
    per_leaf: Count,
    leaves_per_pod: Count,
    spines: Count | None = None,
    cores: Count | None = None,
    leaf_oversubscription: Ratio = 1.0,
    pod_oversubscription: Ratio = 1.0,
) -> Iterator[Wire]:
    """Return the wires; few ends need fewer levels and get no more.

    Parameters
    ----------
    ends : int
        What is joined, ``per_leaf`` at each leaf in order.
    link : str
        One cable of any level.
    per_leaf, leaves_per_pod : int
        Ends at a leaf, leaves in a pod.
    spines, cores : int, optional
        Spines of a pod, cores of a plane; one a cable by default.
    leaf_oversubscription, pod_oversubscription : float
        What enters a leaf (a pod) from below over what leaves it above.
    """
    leaves = [f"leaf{i}" for i in range(-(-ends // per_leaf))]
    for end in range(ends):
        yield Wire(end, leaves[end // per_leaf], link)
    uplinks = per_leaf / leaf_oversubscription
    pods = range(-(-len(leaves) // leaves_per_pod))
    if len(pods) < 2:
        yield from spines_above(leaves, link, uplinks, spines, "pod0.spine")
        return
    planes = spines or max(1, int(uplinks))
    for place, leaf in enumerate(leaves):
        for plane in range(planes):
            pod = place // leaves_per_pod
            yield Wire(leaf, f"pod{pod}.spine{plane}", link, uplinks / planes)
    up = leaves_per_pod * uplinks / planes / pod_oversubscription
    for plane in range(planes):
        of_plane = [f"pod{pod}.spine{plane}" for pod in pods]
        yield from spines_above(of_plane, link, up, cores, f"core{plane}.")
