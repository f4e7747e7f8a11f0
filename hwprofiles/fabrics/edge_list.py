"""An edge list: every wire as the file has it."""

from collections.abc import Iterator

from hwprofiles.clusterfacts import Edge
from hwprofiles.errors import ProfileError
from hwprofiles.fabrics.base import Wire
from hwprofiles.facts import Text


def build(ends: int, *, edges: list[Edge], switches: list[Text] | None = None) -> Iterator[Wire]:
    """Return the wires of the list, those with a wrong end too.

    Raises
    ------
    ProfileError
        An end of an edge is neither a device nor a switch; all such ends at once.
    """
    named = switches or []
    lost = []
    for place, edge in enumerate(edges):
        for key, end in (("from", edge.start), ("to", edge.end)):
            if not (0 <= end < ends if isinstance(end, int) else end in named):
                lost.append(
                    f"edges.{place}.{key}: expected a device 0 to {ends - 1} or a switch"
                    f" ({', '.join(named) or 'none'}), got {end!r}"
                )
        yield Wire(edge.start, edge.end, edge.link, directed=edge.directed)
    if lost:
        raise ProfileError("; ".join(lost))
