"""Hold predictions against published collectives, by size, fabric and stack."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwprofiles.transport import Constants, interval_of, shipped
from planner.published.assess import Assessed
from planner.published.collective_cases import CollectiveCase, Unstated, express
from planner.published.collective_rows import CollectiveRow
from planner.published.names import Unsaid
from planner.published.summary import Summary, mean_of, summary
from planner.transport_groups import SMALL_BYTES, interval_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One published call beside its prediction."""

    row: CollectiveRow
    case: CollectiveCase | None
    """None where the row cannot be expressed."""
    assessed: Assessed

    @property
    def is_large(self) -> bool:
        """Whether it moves 64 KiB or more."""
        size = self.row.told.get("bytes", "")
        return size.isdigit() and int(size) >= SMALL_BYTES

    @property
    def is_inside(self) -> bool:
        """Whether its ranks lie in one domain, so that no network is crossed."""
        if self.case:
            return self.case.group.domains == 1
        return self.row.told.get("nodes", "") == "1"

    @property
    def counts(self) -> bool:
        """Whether fabric and result are stated, and its notes do not mark it as doubtful."""
        is_stated = self.assessed.in_scope and self.row.time_s is not None
        return is_stated and not self.row.flagged


def hold(
    rows: Sequence[CollectiveRow],
    constants: Constants | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Held]:
    """Predict every call that can be expressed; ``constants`` take the place of the shipped."""
    found = []
    for done, row in enumerate(rows):
        progress(done, len(rows))
        found.append(held(row, constants or shipped()))
    return found


def held(row: CollectiveRow, constants: Constants, seen: frozenset[str] | None = None) -> Held:
    """Predict one call; ``seen`` are the stacks that the constants were fitted to."""
    case: CollectiveCase | None = None
    reason, is_stated = "", True
    try:
        case = express(row.told)
        if row.time_s is None:
            reason = row.misread or "no result is stated"
    except Unstated as why:
        reason, is_stated = f"fabric not stated: {why}", False
    except Unsaid as why:
        reason = str(why) + ("" if row.time_s else f"; {row.misread or 'no result is stated'}")
    predicted = case.predicted_s(constants) if case else None
    assumed = case.assumed if case else {}
    if assumed:
        reason = f"assumed: {', '.join(assumed)}"
    covered = predicted is not None and row.time_s is not None and not assumed
    kind = interval_kind(case.group, case.payload_bytes, seen) if case else ""
    assessed = Assessed(
        case_id=row.case_id,
        source=row.source,
        table="collective",
        predicted=predicted,
        published=row.time_s,
        error=predicted / row.time_s - 1 if covered and predicted and row.time_s else None,
        interval_s=interval_of(predicted, kind) if predicted else None,
        grade=_grade(kind) if covered else "",
        layout_stated=case is not None and not assumed,
        assumed=assumed,
        covered=covered,
        flagged=row.flagged,
        in_scope=is_stated,
        reason=reason,
        sweep=(row.source, *(row.told.get(key, "") for key in ("collective", "bytes"))),
    )
    return Held(row=row, case=case, assessed=assessed)


def _grade(kind: str) -> str:
    """Return the grade of a prediction: of a stack that no row went through, that of its links."""
    return "datasheet" if kind.endswith("unseen") else "fitted"


PARTS: Mapping[str, Callable[[Held], bool]] = {
    "64 KiB and more": lambda one: one.is_large,
    "64 KiB and more, one node": lambda one: one.is_large and one.is_inside,
    "64 KiB and more, several nodes": lambda one: one.is_large and not one.is_inside,
    "below 64 KiB, one node": lambda one: not one.is_large and one.is_inside,
    "below 64 KiB, several nodes": lambda one: not one.is_large and not one.is_inside,
}


def collective_summaries(found: Sequence[Held]) -> dict[str, Any]:
    """Return the summary of calls whose fabric is stated: by source, table and part.

    ``overall`` is that of 64 KiB and more.

    ``mean_of_sources`` is the mean of the summaries of sources, of 64 KiB and more.
    """
    counted = [one for one in found if one.counts]
    large = [one for one in counted if one.is_large]
    by_source = _by_source(counted)
    return {
        "overall": _summary(large),
        "by_source": by_source,
        "by_table": {"collective": _summary(counted)},
        "by_part": {name: _summary(filter(holds, counted)) for name, holds in PARTS.items()},
        "mean_of_sources": _mean_of(_by_source(large).values()),
        "fabric_not_stated": _summary(one for one in found if not one.assessed.in_scope),
        "flagged": _summary(one for one in found if one.assessed.in_scope and one.row.flagged),
    }


def _by_source(found: Iterable[Held]) -> dict[str, Summary]:
    sources: dict[str, list[Held]] = defaultdict(list)
    for one in found:
        sources[one.row.source].append(one)
    return {name: _summary(rows) for name, rows in sorted(sources.items())}


def _summary(found: Iterable[Held]) -> Summary:
    return summary(one.assessed for one in found)


def _mean_of(sources: Iterable[Summary]) -> Summary:
    """Return the mean of summaries, with the rows of all of them."""
    every = list(sources)
    rows, covered = sum(s.rows for s in every), sum(s.covered for s in every)
    return replace(mean_of(every), rows=rows, covered=covered)
