"""Full mesh without a switch: a link between every pair (MI300X, Gaudi in its box)."""

from collections.abc import Iterator
from itertools import combinations

from hwprofiles.fabrics.base import Wire
from hwprofiles.facts import Text


def build(ends: int, *, link: Text) -> Iterator[Wire]:
    """Join every pair by ``link``: what one peer can get is that, not the device's total."""
    return (Wire(a, b, link) for a, b in combinations(range(ends), 2))
