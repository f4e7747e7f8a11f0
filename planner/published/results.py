"""What a row measured: each result a number in the unit of its column, or in one beside it.

A result that is neither makes its own row unread, and says so; the others of a table are read. Only
a table without any row that is read is refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol, TypeVar

from hwprofiles.errors import RecordError, UnitError
from hwprofiles.units import GB, MS, US, parse_bytes_per_s, parse_s
from planner.published.names import NOTHING

COLUMN_UNITS: Sequence[tuple[str, float, Callable[[str], float]]] = (
    ("_us", US, parse_s),
    ("_ms", MS, parse_s),
    ("step_s", 1.0, parse_s),
    ("gbps", GB, parse_bytes_per_s),
)
"""How columns end whose results may have another unit beside them, what theirs is, and a reader."""
PLAIN_UNITS = r"(?i)(?<=[0-9]) ?(image|img|sample|sequence|seq|sentence)s?/s(ec)?$"
"""Units of a rate that say no more than the column does."""
ABOUT = r"^[~\u2248] ?|(?<=[0-9]) ?(\u00b1|\+/-).*?(?=[a-z\u00b5\u03bc]*(/s)?$)"
"""What stands around a number that was read off, or has its spread beside it."""
SPELLINGS = (("[\u00b5\u03bc]s$", "us"), ("sec(onds?)?$", "s"), ("Bps$", "B/s"), ("bps$", "b/s"))


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of one line of a table, as far as they can be read."""

    where: str
    """Table and line."""
    text: Mapping[str, str]
    misread: str = field(default="", init=False)
    """What is wrong with the first result that is no number."""

    def value(self, column: str) -> float | None:
        """Return a result in the unit of its column; None where there is none above 0."""
        try:
            return measured(column, self.text.get(column, ""))
        except UnitError as why:
            self.misread = self.misread or f"{self.where}: {why}; correct it"
            return None


class Read(Protocol):
    """A row that says whether its results were read."""

    @property
    def misread(self) -> str:
        """What is wrong with a result, empty where nothing is."""


R = TypeVar("R", bound=Read)


def some_read(rows: Sequence[R]) -> tuple[R, ...]:
    """Return the rows of a table.

    Raises
    ------
    RecordError
        With what is wrong with the first, when none of them was read.
    """
    if all(row.misread for row in rows):
        raise RecordError(rows[0].misread)
    return tuple(rows)


def measured(column: str, text: str) -> float | None:
    """Return a result that is stated, None where there is none above 0.

    Raises
    ------
    UnitError
        When it is no number.

    >>> measured("time_us", "1,234.5"), measured("time_us", "n/a"), measured("time_us", "-1")
    (1234.5, None, None)
    >>> measured("time_us", "0.38 ms"), measured("busbw_gbps", "3200 Gb/s")
    (380.0, 400.0)
    >>> measured("samples_per_s", "~5 img/s"), measured("algbw_gbps", "410 GB/s")
    (5.0, 410.0)
    >>> measured("step_ms", "120 +/- 3 ms"), measured("step_ms", "1.2 sec")
    (120.0, 1200.0)
    """
    if text.lower() in NOTHING:
        return None
    bare = re.sub("(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", re.sub(ABOUT, "", text))
    for rule, unit in SPELLINGS:
        bare = re.sub(rule, unit, bare)
    try:
        found = float(re.sub(PLAIN_UNITS, "", bare))
    except ValueError:
        found = _in_unit(column, bare, text)
    return found if isfinite(found) and found > 0 else None


def _in_unit(column: str, bare: str, text: str) -> float:
    """Return a result with a unit beside it, in that of its column."""
    for end, unit, read in COLUMN_UNITS:
        if column.endswith(end):
            try:
                return float(f"{read(bare) / unit:.12g}")
            except UnitError:
                break
    raise UnitError(f"{column}: expected a number, got {text!r}")
