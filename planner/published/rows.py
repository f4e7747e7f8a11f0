"""Rows of a table of published training runs: what was run, apart from what was measured."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.errors import RecordError
from hwprofiles.units import MS
from planner.published import tpu
from planner.published.models import tokens_of
from planner.published.names import names

SMALL = Path(__file__).with_name("training.csv")
"""A handful of well-known runs, each with its source."""

UNSEEN = Path(__file__).with_name("unseen.csv")
"""Runs of a source that no constant and no interval is fitted to, most on devices without rows."""

RESULTS = (
    "samples_per_s", "step_ms", "fwd_ms", "bwd_ms",
    "step_s", "tokens_per_s_per_chip", "tflops_per_chip", "mfu_percent",
)  # fmt: skip
LABELS = ("case_id", "source", "url", "provenance", "notes")
"""Columns that no prediction reads, beside the results."""
FLAGS = ("FLAG", "CHECK")
"""Words in the notes of a row that contradicts another, or was inferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published run."""

    case_id: str
    source: str
    told: Mapping[str, str]
    """What was run, by column; stripped, blank where it is not stated."""
    flagged: bool
    """Whether its notes mark the row as doubtful."""
    samples_per_s: float | None
    passes_s: float | None
    """Forward and backward of one step, where the row states both; no update, no input."""

    def step_s(self, batch: int) -> float | None:
        """Return the published time of what was timed, for a global batch; None where none is."""
        if self.passes_s is not None:
            return self.passes_s
        return batch / self.samples_per_s if self.samples_per_s else None


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read a table, of GPUs or of TPUs; its columns are those of the README beside the tables.

    Raises
    ------
    RecordError
        When the file cannot be read, lacks a column, or states a result that is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines = [(reader.line_num, line) for line in reader]
            names = set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(
            f"{path}: expected a table of published runs, got"
            f" {getattr(error, 'strerror', None) or error}; name a CSV file"
        ) from error
    needed = {*RESULTS[:1], *LABELS[:2], "model", "accelerator"}
    needed.add(tpu.CHIPS if tpu.CHIPS in names else "n_devices")
    if missing := sorted(needed - names):
        raise RecordError(
            f"{path}: expected columns {', '.join(sorted(needed))}, got none called"
            f" {', '.join(missing)}; add them"
        )
    return tuple(_row(path, number, line) for number, line in lines)


def _samples_per_s(told: Mapping[str, str], rate: float | None) -> float | None:
    """Return the samples of the whole job in a second; None where the unit is not understood."""
    unit, usual = told.get("throughput_unit", "").lower(), names()["units"]
    workers = told.get("n_devices", "")
    if rate and re.search(usual["each"], unit) and workers.isdigit():
        rate *= int(workers)
    if re.search(usual["tokens"], unit):
        tokens = tokens_of(told) or usual["counted"].get(told.get("model", "").lower())
        return rate / tokens if rate and tokens else None
    return rate if re.search(usual["samples"], unit) else None


def _row(path: Path, number: int, line: Mapping[str, str | None]) -> Row:
    text = {key: (value or "").strip() for key, value in line.items() if key}
    if tpu.CHIPS in text:
        text = tpu.in_usual_columns(text)

    def result(column: str) -> float | None:
        try:
            found = float(text.get(column, "") or "nan")
        except ValueError as error:
            raise RecordError(
                f"{path}: line {number}: {column}: expected a number, got {text[column]!r};"
                " correct it"
            ) from error
        return found if found > 0 else None

    forward, backward = result("fwd_ms"), result("bwd_ms")
    told = {key: v for key, v in text.items() if key not in {*RESULTS, *LABELS}}
    told["timed"] = "passes" if forward and backward else "step"
    return Row(
        case_id=text["case_id"],
        source=text["source"],
        told=told,
        flagged=any(flag in text.get("notes", "") for flag in FLAGS),
        samples_per_s=_samples_per_s(told, result("samples_per_s")),
        passes_s=(forward + backward) * MS if forward and backward else None,
    )
