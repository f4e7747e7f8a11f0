"""Closed forms of exchanges in which all lanes are busy throughout: the work of the busiest.

Index letters: H messages of a rank in turn, W ranks that are looked at.
"""

from dataclasses import dataclass
from math import gcd

import numpy as np

from hwprofiles.units import Ints
from planner.collectives.base import Prices

ALL_UP_TO = 64
"""Ranks up to which the lanes of all are priced."""
FIRST = 8
"""Of more ranks so many are: they are a node of most clusters, and what they do is a bound."""


def watched(ranks: int) -> Ints:
    """Return the ranks whose lanes are priced, shape (W,)."""
    return np.arange(ranks if ranks <= ALL_UP_TO else FIRST)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Busy:
    """What the lanes of the ranks that are looked at do, picoseconds, each (W,)."""

    send_ps: Ints
    receive_ps: Ints

    @classmethod
    def of(cls, prices: Prices, to: Ints, out: Ints, sender: Ints, into: Ints) -> "Busy":
        """Price messages.

        Parameters
        ----------
        to, sender : int array, shape (H, W)
            To whom each of the ranks sends, and from whom it receives.
        out, into : int array, shape (H, W), elements
            How much.
        """
        own = np.broadcast_to(watched(prices.ranks), to.shape)

        def summed_ps(src: Ints, dst: Ints, elements: Ints) -> Ints:
            flat = prices.transfers_ps(src.reshape(-1), dst.reshape(-1), elements.reshape(-1))
            found: Ints = flat.reshape(src.shape).sum(axis=0)
            return found

        return cls(send_ps=summed_ps(own, to, out), receive_ps=summed_ps(sender, own, into))

    @property
    def total_ps(self) -> Ints:
        """Time on one lane where transfers hold the compute lane."""
        return self.send_ps + self.receive_ps

    def longest_ps(self, prices: Prices) -> int:
        """Return the work of the busiest lane."""
        if prices.holds_compute:
            return int(self.total_ps.max())
        return int(np.maximum(self.send_ps, self.receive_ps).max())


def block_widths(elements: int, blocks: int, at: Ints) -> Ints:
    """Return how many elements each of the blocks at ``at`` has, of so many in all.

    >>> block_widths(10, 4, np.arange(4)).tolist()
    [2, 3, 2, 3]
    """
    shared = gcd(elements, blocks)
    each, rest = divmod(elements // shared, blocks // shared)
    cut = blocks // shared  # small factors first: whole products of many ranks are beyond 64 bits
    found: Ints = each + (at + 1) * rest // cut - at * rest // cut
    return found
