"""Rows of a table of published training runs: what was run, apart from what was measured."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.units import MS
from planner.published import tpu
from planner.published.models import tokens_of
from planner.published.names import lines_of, names, whole_of
from planner.published.results import Results, some_read

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
NEEDED = (
    *((name,) for name in ("case_id", "source", "model", "accelerator")),
    ("n_devices", tpu.CHIPS),
    RESULTS,
)
"""Columns of a table, one of each group."""


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
    whole_s: float | None = None
    """One step, where the row states its time, or how many there are in a second."""
    misread: str = ""
    """What is wrong with a result that is no number."""

    def step_s(self, batch: int) -> float | None:
        """Return the published time of what was timed, for a global batch; None where none is."""
        if self.passes_s is not None:
            return self.passes_s
        return batch / self.samples_per_s if self.samples_per_s else self.whole_s


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read a table, of GPUs or of TPUs; its columns are those of the README beside the tables.

    Raises
    ------
    RecordError
        When the file cannot be read, lacks a column, or every row of it states a result that is
        no number.
    """
    lines = lines_of(path, "run", NEEDED)
    return some_read([_row(path, number, line) for number, line in lines])


def _per_s(told: Mapping[str, str], rate: float | None) -> tuple[float | None, float | None]:
    """Return the samples of the whole job in a second, and the time of a step; None where not told.

    Neither is told where the unit is not understood.
    """
    unit, usual = told.get("throughput_unit", "").lower(), names()["units"]
    workers = whole_of(told.get("n_devices", ""))
    if not rate:
        return None, None
    if re.search(usual["times"], unit):
        return None, rate * next(s for rule, s in usual["seconds"] if re.search(rule, unit))
    rate /= next((s for rule, s in usual["each_s"] if re.search(rule, unit)), 1.0)
    rate *= 1000 if re.search(usual["thousands"], unit) else 1
    if re.search(usual["steps"], unit):
        return None, 1 / rate
    if re.search(usual["each"], unit):
        rate *= workers or 1
    if re.search(usual["tokens"], unit):
        tokens = tokens_of(told) or usual["counted"].get(told.get("model", "").lower())
        return rate / tokens if tokens else None, None
    return rate if re.search(usual["samples"], unit) else None, None


def _row(path: Path, number: int, line: Mapping[str, str]) -> Row:
    text = tpu.in_usual_columns(line) if tpu.CHIPS in line else dict(line)
    results = Results(where=f"{path}: line {number}", text=text)
    forward, backward = results.value("fwd_ms"), results.value("bwd_ms")
    told = {key: v for key, v in text.items() if key not in {*RESULTS, *LABELS}}
    told["timed"] = "passes" if forward and backward else "step"
    samples_per_s, whole_s = _per_s(told, results.value("samples_per_s"))
    step_ms, step_s = results.value("step_ms"), results.value("step_s")
    return Row(
        case_id=text["case_id"],
        source=text["source"],
        told=told,
        flagged=any(flag in text.get("notes", "") for flag in FLAGS),
        samples_per_s=samples_per_s,
        passes_s=(forward + backward) * MS if forward and backward else None,
        whole_s=whole_s or (step_ms * MS if step_ms else step_s),
        misread=results.misread,
    )
