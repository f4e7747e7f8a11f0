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
        self.known: dict[int, tuple[int, ...]] = {}

    def times_ps(self, elements: int) -> tuple[int, ...]:
        """Return the closed form of each, ``NEVER`` of one that does not suit so many ranks."""
        if elements not in self.known:
            costs = (
                algorithm(name).cost_ps(whole(name, elements, self.ranks), self.prices)
                if able
                else NEVER
                for name, able in zip(self.names, self.able, strict=True)
            )
            self.known[elements] = tuple(costs)
        return self.known[elements]

    def winner(self, elements: int) -> str:
        """Return the fastest; of equal ones the simplest."""
        times = self.times_ps(elements)
        return self.names[times.index(min(times))]

    def switches(self, low: int, high: int) -> list[Switch]:
        """Return where the fastest changes between two sizes in elements.

        Where it changes there and back again between them, that is not seen.
        """
        found = []
        while (below := self.winner(low)) != self.winner(high):
            left, right = low, high
            while right - left > 1:
                middle = (left + right) // 2
                if self.winner(middle) == below:
                    left = middle
                else:
                    right = middle
            found.append(
                Switch(
                    ranks=self.ranks,
                    below=below,
                    above=self.winner(right),
                    first_bytes=right * self.item_bytes,
                )
            )
            low = right
        return found
