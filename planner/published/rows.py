"""Rows of a table of published training runs: what was run, apart from what was measured."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.errors import RecordError

SMALL = Path(__file__).with_name("training.csv")
"""A handful of well-known runs, each with its source."""

RESULTS = ("samples_per_s", "step_ms", "fwd_ms", "bwd_ms")
LABELS = ("case_id", "source", "url", "provenance", "notes")
"""Columns that no prediction reads, beside the results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published run."""

    case_id: str
    source: str
    told: Mapping[str, str]
    """What was run, by column; stripped, blank where it is not stated."""
    samples_per_s: float | None
    """What the whole job reached; None where the row states no rate."""


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read a table; the columns are those of the README beside the published tables.

    Raises
    ------
    RecordError
        When the file cannot be read, lacks a column, or states a rate that is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines = [(reader.line_num, line) for line in reader]
            names = set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(
            f"{path}: expected a table of published runs, got {error}; name a CSV file"
        ) from error
    needed = {*RESULTS[:1], *LABELS[:2], "model", "accelerator", "n_devices"}
    if missing := sorted(needed - names):
        raise RecordError(
            f"{path}: expected columns {', '.join(sorted(needed))}, got none called"
            f" {', '.join(missing)}; add them"
        )
    return tuple(_row(path, number, line) for number, line in lines)


def _row(path: Path, number: int, line: Mapping[str, str | None]) -> Row:
    told = {key: (value or "").strip() for key, value in line.items() if key}
    text = told["samples_per_s"]
    try:
        rate = float(text) if text else None
    except ValueError as error:
        raise RecordError(
            f"{path}: line {number}: samples_per_s: expected a number, got {text!r}; correct it"
        ) from error
    return Row(
        case_id=told["case_id"],
        source=told["source"],
        told={key: v for key, v in told.items() if key not in {*RESULTS, *LABELS}},
        samples_per_s=rate,
    )
