"""What ``make published`` keeps of a table: enough to write pages from, without predicting anew."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.published.assess import Assessed
from planner.published.fit import TARGET
from planner.published.give_back import Experiment, GivenBack
from planner.published.leave_out import LeftOut, held_frac, sha256_of
from planner.published.neighbours import GenerationLeftOut
from planner.published.summary import Summary, summaries

DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """An unflagged row in scope; times in seconds of what was timed."""

    case_id: str
    source: str
    year: str
    device: str
    generation: str
    software: str
    workers: int
    published_s: float
    predicted_s: float
    grade: str
    left_out_s: float | None
    """Predicted by constants that no row of its source was fitted to."""

    @property
    def error(self) -> float:
        """Predicted over published, less 1."""
        return self.predicted_s / self.published_s - 1

    @property
    def left_out_error(self) -> float | None:
        """The same, its source left out."""
        return None if self.left_out_s is None else self.left_out_s / self.published_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRecord:
    """One table, and how far predictions of its rows are off."""

    name: str
    sha256: str
    overall: Summary
    mean_of_sources: Summary
    flagged: Summary
    by_source: Mapping[str, Summary]
    rows: tuple[PublishedRow, ...]
    apart: Mapping[str, int]
    """Rows that are not predicted or not counted, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRecord:
    """bench/results/published.json."""

    schema: int
    tool: str
    constants_sha256: str
    """Of ``efficiency.toml``."""
    tables: tuple[TableRecord, ...]
    held_frac: tuple[float, float]
    """Share of left-out rows inside their 80 % interval, set from all, and from other sources."""
    given_back: tuple[GivenBack, ...]
    """By source, and ``all`` at last."""
    generations: tuple[GenerationLeftOut, ...] = ()
    """Each predicted by another."""


def constants_sha256() -> str:
    """Return the hash of the shipped constants."""
    return sha256_of(TARGET)


def table_record(
    path: Path, assessed: Sequence[Assessed], left_out: Sequence[LeftOut]
) -> TableRecord:
    """Return the record of a table."""
    summed = summaries(assessed)
    left_s = {row.case_id: row.left_out_s for row in left_out}
    counted = [row for row in assessed if row.in_scope and not row.flagged]
    return TableRecord(
        name=path.name,
        sha256=sha256_of(path),
        overall=summed["overall"],
        mean_of_sources=summed["mean_of_sources"],
        flagged=summed["flagged"],
        by_source=summed["by_source"],
        rows=tuple(
            PublishedRow(
                case_id=row.case_id,
                source=row.source,
                year=row.year,
                device=row.device,
                generation=row.generation,
                software=row.software,
                workers=row.workers,
                published_s=_short(row.published),
                predicted_s=_short(row.predicted),
                grade=row.grade,
                left_out_s=_short(left_s[row.case_id]) if row.case_id in left_s else None,
            )
            for row in counted
            if row.covered and row.predicted and row.published
        ),
        apart=dict(Counter(_reason(row) for row in assessed if _reason(row)).most_common()),
    )


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _reason(row: Assessed) -> str:
    return row.reason or ("flagged by its source's notes" if row.flagged else "")


def published_record(
    tool: str,
    schema: int,
    tables: Sequence[TableRecord],
    left_out: Sequence[LeftOut],
    generations: Sequence[GenerationLeftOut],
    given_back: Experiment,
) -> PublishedRecord:
    """Return the record of tables; the first has sources and generations left out."""
    return PublishedRecord(
        schema=schema,
        tool=tool,
        constants_sha256=constants_sha256(),
        tables=tuple(tables),
        held_frac=held_frac(left_out),
        given_back=(*given_back.sources, given_back.overall),
        generations=tuple(generations),
    )
