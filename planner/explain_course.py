"""How far an explanation is: one course of all its stages, so that the time left can be told."""

from collections.abc import Callable
from dataclasses import dataclass

Told = Callable[[str, int, int], None]
"""Told (stage, done, in all): in thousandths of what lowering takes, of all stages together."""

LOWERING, JITTER, TURN, BATCH = 1000, 500, 350, 250
"""What a stage, one figure turned one way, and one batch take of that. Of nine explanations (of
lenet-5, gpt-nano, alexnet, vgg-16, mobilenet-v2 and resnet-50 on 2 to 32 devices) the time left at
half time was then between 0.6 and 1.7 of what was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainCourse:
    """How far an explanation is."""

    told: Told
    turns: int
    batches: int
    """How many there will be, about."""

    @property
    def total(self) -> int:
        """All there is to do."""
        return LOWERING + JITTER + TURN * self.turns + BATCH * self.batches

    def tell(self, what: str, done: float) -> None:
        """Tell that so much is done."""
        self.told(what, round(done), self.total)

    def jitter(self, done: int, count: int) -> None:
        """Tell how many seeds of the jitter are done."""
        self.tell("jitter", LOWERING + JITTER * done / count)

    def turned(self, done: int) -> None:
        """Tell how many turns are done."""
        self.tell("flip points", LOWERING + JITTER + TURN * done)

    def batch(self, seen: int) -> None:
        """Tell how many batches were looked at."""
        begun = LOWERING + JITTER + TURN * self.turns
        self.tell("batches", begun + BATCH * min(seen, self.batches))
