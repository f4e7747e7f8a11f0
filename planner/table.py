"""Plan tables: every candidate of a space priced from factors, streamed in blocks.

A stripe of the space (a number of workers) and a microbatch share one set of *factors*: tables
over the named axes that a quantity depends on, built by the scalar code of ``planner.cost`` and
gathered by index. Rows are never plans; all sums are integers, so a row equals the scalar path
(``planner.cost.estimate``) to the bit. Exchanges are priced when somebody asks for the bounds of a
section: where its passes alone take too long, nobody does.

Index letters: P candidates of a block, B buckets of a cut.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby

import numpy as np
import numpy.typing as npt

from hwprofiles.units import PS_PER_S, Ints
from planner.factors import Factor
from planner.machine import Machine
from planner.memory import stacked_bytes
from planner.model import ModelGraph
from planner.plan import Plan, Training, Verdict
from planner.pricing import StripePrices
from planner.shared_prices import Shared
from planner.space import SLOTS, Constraints, Space, Stripe

Bools = npt.NDArray[np.bool_]
VERDICTS = tuple(Verdict)
CODE = {verdict: code for code, verdict in enumerate(VERDICTS)}
NO_LIMIT = int(np.iinfo(np.int64).max)
BLOCK_ROWS = 1 << 15
"""Rows priced at once: a block's arrays stay in the cache of a core."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Block:
    """Rows that divide the batch, with their prices; P of them."""

    rows: Ints
    """Number in the space."""
    workers: int
    indices: Mapping[str, Ints]
    """Place on every axis."""
    verdict: npt.NDArray[np.int8]
    """Index into ``VERDICTS``."""
    bound_ps: Ints
    """Closed form, which is the lower bound."""
    arena_bytes: Ints
    """Static arena of the fullest worker."""
    tasks: Ints
    """Tasks of the program."""
    spare: Bools
    """Whether the program is that of another row of the space (see ``DOMINANCE``)."""

    @property
    def fits(self) -> Bools:
        """Rows that can be."""
        fits: Bools = self.verdict == CODE[Verdict.FITS]
        return fits

    def take(self, chosen: Ints | Bools) -> "Block":
        """Return some of the rows."""
        return Block(
            rows=self.rows[chosen],
            workers=self.workers,
            indices={name: at[chosen] for name, at in self.indices.items()},
            verdict=self.verdict[chosen],
            bound_ps=self.bound_ps[chosen],
            arena_bytes=self.arena_bytes[chosen],
            tasks=self.tasks[chosen],
            spare=self.spare[chosen],
        )


DOMINANCE = "equal program"
"""The rule by which a row is spare: one bucket leaves when all gradients are there, overlap or not;
a slot that no firing takes changes nothing but the memory."""


NO_BOUND = Factor(axes=(), table=np.zeros((), dtype=np.int64))


@dataclass(frozen=True, eq=False, kw_only=True)
class Section:
    """The rows of one number of workers and one microbatch, a product of the other axes.

    Or those of several microbatches, one after the other.
    """

    stripe: Stripe
    firsts: tuple[int, ...]
    """By microbatch: the number of its first row in the space."""
    verdict: Verdict
    """FITS where memory and time decide; then the factors are there."""
    factors: Mapping[str, Factor] = field(default_factory=dict)
    """Of memory and tasks."""
    passes: Factor = NO_BOUND
    """What the passes alone take: no bound is less."""
    price: Callable[[], Factor] = lambda: NO_BOUND
    price_stripe: Callable[[], None] = lambda: None
    """Prices all that fits of its number of workers, which is sooner done at once."""

    @cached_property
    def bounds(self) -> Factor:
        """The bound of every row, worked out when it is first asked for."""
        return self.price()

    @property
    def is_priced(self) -> bool:
        """Whether anybody asked for its bounds."""
        return "bounds" in vars(self)

    @property
    def first(self) -> int:
        """Number of its first row in the space."""
        return self.firsts[0]

    @cached_property
    def rows(self) -> int:
        """Number of rows."""
        return self._size * len(self.firsts)

    @cached_property
    def _size(self) -> int:
        """Rows of one microbatch."""
        return self.stripe.rows // len(self.stripe.axes["microbatch"])

    def block(self, begin: int, end: int, limits: Mapping[str, int], bound: Factor) -> Block:
        """Price rows ``begin`` to ``end`` of this section; ``bound`` is its bounds or passes."""
        rows = np.arange(begin, end)
        indices: dict[str, Ints] = {}
        rest = rows
        for name, values in reversed(list(self.stripe.axes.items())[1:]):
            if len(values) == 1:
                indices[name] = np.zeros_like(rows)
                continue
            above = rest // len(values)
            indices[name], rest = rest - above * len(values), above
        indices["microbatch"] = rest
        made = {name: factor.gather(indices) for name, factor in self.factors.items()}
        bound_ps = bound.gather(indices)
        memory = ("own_bytes", "frame_bytes", "landing_top")
        arena = stacked_bytes(*(made[name] for name in memory))
        verdict = np.full(len(rows), CODE[Verdict.FITS], dtype=np.int8)
        verdict[bound_ps > limits["step_ps"]] = CODE[Verdict.TOO_SLOW]
        verdict[arena > np.minimum(made["memory_bytes"], limits["memory_bytes"])] = CODE[
            Verdict.OUT_OF_MEMORY
        ]
        verdict[made["misplaced"] != 0] = CODE[Verdict.NO_SUCH_SWITCH]
        numbers = rows + (np.array(self.firsts) - np.arange(len(self.firsts)) * self._size)[rest]
        del indices["microbatch"]
        return Block(
            rows=numbers,
            workers=self.stripe.workers,
            indices=indices,
            verdict=verdict,
            bound_ps=bound_ps,
            arena_bytes=arena,
            tasks=made["tasks"],
            spare=(made["spare_slots"] | made["spare_landing"] | made["spare_overlap"]) != 0,
        )


def joined(sections: Sequence[Section]) -> Section:
    """Return sections of one number of workers as one."""
    factors = {
        name: _stacked([section.factors[name] for section in sections])
        for name in sections[0].factors
    }
    return Section(
        stripe=sections[0].stripe,
        firsts=tuple(section.first for section in sections),
        verdict=Verdict.FITS,
        factors=factors,
        price=lambda: _stacked([section.bounds for section in sections]),
    )


def _stacked(factors: Sequence[Factor]) -> Factor:
    """Return a factor over microbatches too, unless it is the same one for all."""
    if all(factor is factors[0] for factor in factors):
        return factors[0]
    table = np.stack([factor.table for factor in factors])
    return Factor(axes=("microbatch", *factors[0].axes), table=table)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PlanTable:
    """A space and the factors that price it."""

    space: Space
    sections: tuple[Section, ...]
    limits: Mapping[str, int]
    """``memory_bytes`` and ``step_ps`` that the user allows at most."""

    def blocks(self) -> Iterator[Block]:
        """Yield the rows that divide, block after block, in the order of rows."""
        for _, of_stripe in groupby(self.open_sections(), key=lambda s: s.stripe.workers):
            sections = list(of_stripe)
            sections[0].price_stripe()
            for section in sections if sections[0].rows > BLOCK_ROWS else [joined(sections)]:
                yield from self.blocks_of(section)

    def price_all(self) -> None:
        """Work out the bounds of all rows, as :meth:`blocks` does where it has to."""
        for section in self.open_sections():
            section.price_stripe()

    def open_sections(self) -> Iterator[Section]:
        """Yield the sections whose rows memory and time decide on."""
        return (section for section in self.sections if section.verdict is Verdict.FITS)

    def blocks_of(self, section: Section, *, exact: bool = True) -> Iterator[Block]:
        """Yield the rows of a section; if not ``exact``, their bounds are those of the passes.

        Verdicts are exact always.
        """
        if not exact and not self._decides(section.passes):
            exact = True
        bound = section.bounds if exact else section.passes
        for begin in range(0, section.rows, BLOCK_ROWS):
            end = min(begin + BLOCK_ROWS, section.rows)
            yield section.block(begin, end, self.limits, bound)

    def _decides(self, passes: Factor) -> bool:
        """Whether it follows from the passes which rows are too slow: all, or none."""
        limit_ps = self.limits["step_ps"]
        return limit_ps == NO_LIMIT or bool(passes.table.min() > limit_ps)

    @property
    def priced_rows(self) -> int:
        """Number of rows whose time and memory can be asked for."""
        return sum(section.rows for section in self.open_sections())

    def priced(self, place: int) -> Block:
        """Return one row, counted among those."""
        for section in self.open_sections():
            if place < section.rows:
                return section.block(place, place + 1, self.limits, section.bounds)
            place -= section.rows
        raise IndexError(place)

    def plan(self, row: int) -> Plan:
        """Return one row as a plan."""
        return self.space.plan(row)

    def placements(self, workers: int) -> Sequence[tuple[int, ...]]:
        """Return the placements of so many workers, by index."""
        return self._stripe(workers).axes["placement"]

    def slots(self, block: Block) -> Ints:
        """Return how many slots the registers of each row have in sum, shape (P,)."""
        axes = self._stripe(block.workers).axes
        total = np.zeros(len(block.rows), dtype=np.int64)
        for name in SLOTS:
            total += np.array(axes[name])[block.indices[name]]
        return total

    def _stripe(self, workers: int) -> Stripe:
        return next(stripe for stripe in self.space.stripes if stripe.workers == workers)

    def tally(self) -> "Tally":
        """Count rows by verdict, with one example of each."""
        counts = dict.fromkeys(VERDICTS, 0)
        examples: dict[Verdict, int] = {}
        spare = 0
        for section in self.sections:
            if section.verdict is not Verdict.FITS:
                counts[section.verdict] += section.rows
                examples.setdefault(section.verdict, section.first)
                continue
            for block in self.blocks_of(section, exact=False):
                for code, count in enumerate(np.bincount(block.verdict, minlength=len(VERDICTS))):
                    if count:
                        verdict = VERDICTS[code]
                        counts[verdict] += int(count)
                        place = int(np.argmax(block.verdict == code))
                        examples.setdefault(verdict, int(block.rows[place]))
                spare += int(np.count_nonzero(block.fits & block.spare))
        ordered = {verdict: examples[verdict] for verdict in VERDICTS if verdict in examples}
        return Tally(counts=counts, examples=ordered, spare=spare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the rows of a space."""

    counts: Mapping[Verdict, int]
    examples: Mapping[Verdict, int]
    """One row of each verdict that there is."""
    spare: int
    """Rows that fit and are the program of another row."""

    def by_name(self) -> dict[str, int]:
        """Return the counts by the name of the verdict."""
        return {verdict.name.lower(): count for verdict, count in self.counts.items()}


def price(
    model: ModelGraph,
    training: Training,
    space: Space,
    machine: Machine,
    constraints: Constraints | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    shared: Shared | None = None,
) -> PlanTable:
    """Build the factors of memory and tasks of every number of workers and microbatch.

    ``progress`` is told ("pricing", rows, of all), and, when bounds are asked for, ("bounding",
    exchanges, of one number of workers). ``shared`` is what is known from hardware that differs in
    its figures alone.
    """
    most = constraints.most if constraints else {}
    limit_s = most.get("step_s", float("inf"))
    limits = {
        "memory_bytes": int(min(most.get("memory_bytes", NO_LIMIT), NO_LIMIT)),
        "step_ps": int(limit_s * PS_PER_S) if limit_s * PS_PER_S < NO_LIMIT else NO_LIMIT,
    }
    sections: list[Section] = []
    known = shared or Shared(model=model, training=training, machine=machine)
    known = known.on(machine)
    progress("pricing", 0, space.rows)
    for stripe, start in zip(space.stripes, space.starts, strict=False):
        prices = StripePrices(shared=known, stripe=stripe, told=partial(progress, "bounding"))
        size = stripe.rows // len(stripe.axes["microbatch"])
        for i, microbatch in enumerate(stripe.axes["microbatch"]):
            verdict = prices.verdict(microbatch)
            if verdict is Verdict.FITS and prices.is_too_large(microbatch, limits["memory_bytes"]):
                verdict = Verdict.OUT_OF_MEMORY
            section = Section(stripe=stripe, firsts=(start + i * size,), verdict=verdict)
            if verdict is Verdict.FITS:
                section = replace(
                    section,
                    factors=prices.factors(microbatch),
                    passes=prices.passes(microbatch),
                    price=partial(prices.bounds, microbatch),
                    price_stripe=prices.price_all,
                )
            sections.append(section)
        progress("pricing", start + stripe.rows, space.rows)
    return PlanTable(space=space, sections=tuple(sections), limits=limits)
