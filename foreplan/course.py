"""How far a search is: one count over its stages, so that the time left is that of the whole."""

from dataclasses import dataclass

SHARES = {"pricing": 1000, "bounding": 1200, "simulating": 2000}
"""Of the time of a search on 8 to 128 devices (resnet-50, vgg-16, alexnet, densenet-201)."""


@dataclass(slots=True)
class Course:
    """Counts of stages, as ``planner.search`` tells them, as counts of the whole.

    What is to be simulated is known once it begins, and the search ends with it: from then on its
    own counts tell the whole, and bounds that are priced on the way are part of it.
    """

    last: tuple[int, int] | None = None
    """Of simulating, once it has begun."""
    before: int = 0
    """Done before that: bounds are told anew for every number of workers, and take nothing back."""

    def counts(self, stage: str, done: int, total: int) -> tuple[int, int]:
        """Return how much is done, of how much."""
        if stage == "simulating":
            self.last = done, total
        if self.last is not None:
            return self.last
        names = list(SHARES)
        begun = sum(SHARES[name] for name in names[: names.index(stage)])
        self.before = max(self.before, begun + SHARES[stage] * done // max(1, total))
        return self.before, sum(SHARES.values())
