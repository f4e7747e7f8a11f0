"""Dragonfly: groups of fully joined routers, every group joined to every other.

Source: Kim, Dally, Scott and Abts, ISCA 2008; their p, a and h are ``per_router``,
``routers_per_group`` and ``global_cables``.
"""

from collections.abc import Iterator
from itertools import combinations

from hwprofiles.fabrics.base import Wire
from hwprofiles.facts import Count, Text


def build(
    ends: int, *, link: Text, per_router: Count, routers_per_group: Count, global_cables: Count
) -> Iterator[Wire]:
    """Return the wires of as many whole groups as the ends need.

    Parameters
    ----------
    ends : int
        What is joined, ``per_router`` at each router in order.
    link : str
        One cable: down, inside a group, or between groups.
    per_router, routers_per_group : int
        Ends at a router, routers in a group.
    global_cables : int
        Cables from a router to other groups. All cables of a group are spread evenly over the
        other groups; a pair of groups has one bundle, between routers taken in turn.
    """
    groups = range(-(-ends // (per_router * routers_per_group)))
    for end in range(ends):
        router = end // per_router
        yield Wire(end, f"group{router // routers_per_group}.{router % routers_per_group}", link)
    for group in groups:
        for a, b in combinations(range(routers_per_group), 2):
            yield Wire(f"group{group}.{a}", f"group{group}.{b}", link)
    cables = routers_per_group * global_cables / max(1, len(groups) - 1)
    for a, b in combinations(groups, 2):
        start = f"group{a}.{(b - 1) % routers_per_group}"
        yield Wire(start, f"group{b}.{a % routers_per_group}", link, cables)
