"""Flat: every end at one switch that never blocks, as in a rack with one Ethernet switch."""

from collections.abc import Iterator

from hwprofiles.fabrics.base import Wire, star
from hwprofiles.facts import Text


def build(ends: int, *, link: Text) -> Iterator[Wire]:
    """Join every end to the one switch.

    Notes
    -----
    ASSUMES: the switch carries all its ports at once. Where a provider says nothing of what lies
    between its machines, this is the most that can be there.
    """
    return star(ends, link, "switch")
