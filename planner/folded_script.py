"""What an algorithm emits for the ranks that stand for all, in blocks: the same for every size."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from hwprofiles.errors import PlanError
from planner.algorithms import TURN, algorithm, is_switched
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Span, Spans, Tasks
from planner.folded_exchange import FoldedExchange, Orbit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmittedFold:
    """Moves of the ranks that stand for all, each for its orbit."""

    fold: Symmetry
    orbits: tuple[Orbit, ...]
    spans: tuple[Span, ...]
    """Blocks of each orbit's own move."""
    last: tuple[Tasks, ...]
    """By rank that stands for others: orbits after which its copy is final."""
    exchange: FoldedExchange


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
def emitted_fold(name: str, ranks: int, kept: tuple[int, ...]) -> EmittedFold:
    """Return the moves of the ranks that ``kept`` leaves, for an algorithm that has a symmetry."""
    found = symmetry(name, ranks)
    assert found is not None, "only what is alike folds"
    fold = replace(found, kept=kept)
    exchange = FoldedNotes(ranks=ranks, elements=fold.block_count, fold=fold, item_bytes=1)
    last = algorithm(name).emit(exchange, dict.fromkeys(fold.ranks(), ()))
    return EmittedFold(
        fold=fold,
        orbits=tuple(exchange.orbits),
        spans=tuple(exchange.spans),
        last=tuple(_orbits(tokens, fold) for tokens in last),
        exchange=exchange,
    )


def _orbits(tokens: Sequence[int], fold: Symmetry) -> Tasks:
    return tuple(sorted({token // fold.order for token in tokens}))


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
