"""What an algorithm emits for the rank that stands for all, in blocks: the same for every size."""

from dataclasses import dataclass, field
from functools import cache

from hwprofiles.errors import PlanError
from planner.algorithms import TURN, algorithm, is_switched
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Span, Spans, Tasks
from planner.folded_exchange import FoldedExchange, Orbit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmittedFold:
    """Moves of the rank that stands for all, each for its orbit."""

    fold: Symmetry
    orbits: tuple[Orbit, ...]
    spans: tuple[Span, ...]
    """Blocks of each orbit's own move."""
    last: Tasks
    """Tokens after which its copy is final."""


@cache
def symmetry(name: str, ranks: int) -> Symmetry | None:
    """Return what turns one rank of an algorithm into another; None where they are not alike."""
    if TURN in name or is_switched(name):
        return None
    found = getattr(algorithm(name), "symmetry", None)
    try:
        return found(ranks) if found else None
    except PlanError:
        return None


@cache
def emitted_fold(name: str, ranks: int) -> EmittedFold:
    """Return the moves of one rank that stands for all, for an algorithm that has a symmetry."""
    fold = symmetry(name, ranks)
    assert fold is not None, "only what is alike folds"
    exchange = FoldedNotes(ranks=ranks, elements=fold.block_count, fold=fold, item_bytes=1)
    (last,) = algorithm(name).emit(exchange, {0: ()})
    return EmittedFold(
        fold=fold,
        orbits=tuple(exchange.orbits),
        spans=tuple(exchange.spans),
        last=last,
    )


@dataclass(slots=True, kw_only=True)
class FoldedNotes(FoldedExchange):
    """A folded exchange of one element a block, so that a span is one of blocks; it keeps them."""

    spans: list[Span] = field(default_factory=list)

    def send(
        self,
        src: int,
        dst: int,
        span: Span,
        *,
        after: Tasks,
        landing: bool,
        channel: int = 0,
        more: Spans = (),
    ) -> int:
        """Note a transfer and its blocks."""
        assert not more, "a message of a plan is one span"
        self.spans.append(span)
        return FoldedExchange.send(
            self, src, dst, span, after=after, landing=landing, channel=channel
        )

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition and its blocks."""
        self.spans.append(span)
        return FoldedExchange.add(self, rank, span, arrived, after=after)
