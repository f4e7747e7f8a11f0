"""All-reduces against each other between one number of ranks, by closed form."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.algorithms import algorithm
from planner.network import Network

NEVER = int(np.iinfo(np.int64).max)
"""Time of an algorithm on ranks that it does not suit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Where, with more bytes, another algorithm becomes the fastest."""

    ranks: int
    below: str
    above: str
    first_bytes: int
    """Least size at which ``above`` wins; one element less, and ``below`` does."""


def whole(name: str, elements: int, ranks: int) -> int:
    """Return the size of the array that an algorithm exchanges: of an all-to-all, all rows."""
    return elements * ranks if algorithm(name).OPERATION == "all_to_all" else elements


class Race:
    """The algorithms against each other, between one number of ranks."""

    def __init__(self, network: Network, ranks: int, names: Sequence[str]) -> None:
        self.prices = network.prices(ranks)
        self.item_bytes = network.item_bytes
        self.names = names
        self.ranks = ranks
        self.able = [network.able(name, ranks) for name in names]
        self.known: dict[tuple[int, int], int] = {}

    def time_ps(self, place: int, elements: int) -> int:
        """Return the closed form of one, ``NEVER`` if it does not suit so many ranks."""
        if not self.able[place]:
            return NEVER
        key = place, elements
        if key not in self.known:
            name = self.names[place]
            size = whole(name, elements, self.ranks)
            self.known[key] = algorithm(name).cost_ps(size, self.prices)
        return self.known[key]

    def times_ps(self, elements: int) -> tuple[int, ...]:
        """Return the closed form of each."""
        return tuple(self.time_ps(place, elements) for place in range(len(self.names)))

    def winner(self, elements: int, among: Sequence[int] | None = None) -> str:
        """Return the fastest, of all or of some places; of equal ones the simplest."""
        places = range(len(self.names)) if among is None else among
        return self.names[min(places, key=lambda place: self.time_ps(place, elements))]

    def contenders(self, low: int, high: int) -> list[int]:
        """Return the places of those that may win between two sizes.

        Closed forms never fall: who takes longer for the smaller size than another for the larger
        one is always behind it.
        """
        most = min(self.times_ps(high))
        return [place for place, time in enumerate(self.times_ps(low)) if time <= most]

    def switches(self, low: int, high: int) -> list[Switch]:
        """Return where the fastest changes between two sizes in elements.

        Where it changes there and back again between them, that is not seen.
        """
        found, among = [], self.contenders(low, high)
        while (below := self.winner(low, among)) != self.winner(high, among):
            left, right, halves = low, high, False
            while right - left > 1:
                middle = (left + right) // 2 if halves else self._crossing(left, right, among)
                halves = not halves
                if self.winner(middle, among) == below:
                    left = middle
                else:
                    right = middle
            found.append(
                Switch(
                    ranks=self.ranks,
                    below=below,
                    above=self.winner(right, among),
                    first_bytes=right * self.item_bytes,
                )
            )
            low = right
        return found

    def _crossing(self, left: int, right: int, among: Sequence[int]) -> int:
        """Return a size between two where their fastest would meet, were both times straight."""
        below, above = (self.names.index(self.winner(size, among)) for size in (left, right))
        ahead, behind = (
            abs(self.time_ps(below, size) - self.time_ps(above, size)) for size in (left, right)
        )
        share = ahead / (ahead + behind) if ahead + behind else 0.5
        return min(max(left + round((right - left) * share), left + 1), right - 1)
