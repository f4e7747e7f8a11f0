"""The part of the accuracy page on published runs: errors by source, device and year."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hwprofiles.units import format_s
from planner.published.neighbours import held_frac
from planner.published.pipelined import PIPELINES
from planner.published.record import PublishedRecord, PublishedRow, TableRecord
from planner.published.rows import UNSEEN
from planner.published.summary import Summary, figures

WORST = 10
TALK = "soumith-alexnet-owt-"
"""Rows of the network that the talk timed: AlexNet, 128 images of 224 x 224 a step."""


def published_parts(record: PublishedRecord, why: Mapping[str, str]) -> dict[str, Any]:
    """Return the cells of the page; ``why`` explains residuals by ``case_id``."""
    main = record.tables[0]
    worst = sorted(main.rows, key=lambda row: -abs(row.error))[:WORST]
    return {
        "tables": [_table(table) for table in record.tables],
        "by": [
            ("source", _grouped(main, lambda row: row.source)),
            ("devices", _grouped(main, lambda row: row.generation)),
            ("year", _grouped(main, lambda row: row.year or "not stated")),
            ("workers", _grouped(main, _size)),
        ],
        "held": [f"{frac:.0%}" for frac in record.held_frac],
        "given_back": [
            {
                "source": given.source,
                "rows": given.rows,
                "choices": given.choices,
                "before": _percent(given.before),
                "after": _percent(given.after),
                "family_before": _percent(given.family_before),
                "family_after": _percent(given.family_after),
            }
            for given in record.given_back
        ],
        "generations": [
            {
                "generation": one.generation,
                "like": one.like,
                "rows": one.rows,
                "fitted": _percent(one.fitted_median),
                "figures": [_percent(value) for value in (one.median, one.mean, one.p90)],
                "bias": _percent(one.bias, "+"),
                "held": f"{one.held_frac:.0%}",
            }
            for one in record.generations
        ],
        "generations_held": f"{held_frac(record.generations):.0%}",
        "unseen": [
            (name, grade, len(rows), _figures([row.error for row in rows]))
            for (name, grade), rows in sorted(_by_device(record).items())
        ],
        "worst": [{**_row(row), "why": why.get(row.case_id, "not explained yet")} for row in worst],
        "talk": [_row(row) for row in main.rows if row.case_id.startswith(TALK)],
        "pipelines": [
            _row(row)
            for table in record.tables
            if table.name == PIPELINES.name
            for row in table.rows
        ],
        "apart": [(reason, count) for reason, count in main.apart.items()][:WORST],
        "apart_rows": sum(main.apart.values()),
    }


def _by_device(record: PublishedRecord) -> Mapping[tuple[str, str], list[PublishedRow]]:
    """Return the runs that no fit has seen, by device and grade."""
    groups: dict[tuple[str, str], list[PublishedRow]] = defaultdict(list)
    for table in record.tables:
        if table.name == UNSEEN.name:
            for row in table.rows:
                groups[row.device, row.grade].append(row)
    return groups


def _size(row: PublishedRow) -> str:
    return next(
        name
        for most, name in ((1, "1"), (8, "2 to 8"), (64, "9 to 64"), (1 << 31, "more than 64"))
        if row.workers <= most
    )


def _percent(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.1%}"


def _table(table: TableRecord) -> dict[str, Any]:
    left = [e for row in table.rows if (e := row.left_out_error) is not None]
    by_source: dict[str, list[float]] = defaultdict(list)
    for row in table.rows:
        if (error := row.left_out_error) is not None:
            by_source[row.source].append(error)
    means = zip(*(figures(errors) for errors in by_source.values()), strict=True)
    return {
        "name": table.name,
        "lines": [
            ("over rows", _cells(table.overall), _figures(left)),
            (
                "mean of sources",
                _cells(table.mean_of_sources),
                [_percent(sum(f) / len(by_source)) for f in means] if by_source else [""] * 3,
            ),
            ("flagged rows, apart", _cells(table.flagged), [""] * 3),
        ],
    }


def _cells(s: Summary) -> list[str]:
    return [
        f"{s.rows:.0f}" if s.rows == int(s.rows) else f"{s.rows:.1f}",
        _percent(s.coverage),
        *map(_percent, (s.median, s.mean, s.p90)),
        _percent(s.bias, "+"),
        *map(_percent, (s.concordance, s.regret, s.inside)),
    ]


def _figures(errors: Sequence[float]) -> list[str]:
    return [_percent(value) for value in figures(errors)] if errors else [""] * 3


def _grouped(
    table: TableRecord, key: Callable[[PublishedRow], str]
) -> list[tuple[str, int, list[str], list[str]]]:
    groups: dict[str, list[PublishedRow]] = defaultdict(list)
    for row in table.rows:
        groups[key(row)].append(row)
    return [(name, len(rows), *_both(rows)) for name, rows in sorted(groups.items())]


def _both(rows: Iterable[PublishedRow]) -> tuple[list[str], list[str]]:
    every = list(rows)
    left = [e for row in every if (e := row.left_out_error) is not None]
    return _figures([row.error for row in every]), _figures(left)


def _row(row: PublishedRow) -> dict[str, str]:
    return {
        "case_id": row.case_id,
        "published": format_s(row.published_s, 4),
        "predicted": format_s(row.predicted_s, 4),
        "error": f"{row.error:+.0%}",
    }
