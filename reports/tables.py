"""Rows to tables: the one place that turns quantities into text, for HTML and Markdown alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from hwprofiles.units import format_bytes, format_frac, format_s

Row = Mapping[str, Any]
NONE = "-"


def text_rate(per_s: float) -> str:
    """Return samples a second, to three significant digits.

    >>> text_rate(28454.6)
    '28,500 samples/s'
    """
    rounded = _significant(per_s, 3)
    return f"{rounded:,.0f} samples/s" if rounded >= 100 else f"{rounded:g} samples/s"


def text_signed_frac(fraction: float) -> str:
    """Return a fraction in per cent with its sign.

    >>> text_signed_frac(-0.3326), text_signed_frac(0.0)
    ('-33.3 %', '0.0 %')
    """
    text = format_frac(fraction)
    if text.lstrip("-") == format_frac(0.0):
        return format_frac(0.0)
    return text if fraction < 0 else f"+{text}"


def _significant(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _signed_s(seconds: float, digits: int) -> str:
    return f"+{format_s(seconds, digits)}" if seconds > 0 else format_s(seconds, digits)


FORMATS: Mapping[str, Callable[[Any, int], str]] = {
    "text": lambda value, digits: str(value),
    "flag": lambda value, digits: "yes" if value else "no",
    "ns": lambda value, digits: f"{value:,d} ns",
    "signed_ns": lambda value, digits: f"{value:+,d} ns",
    "count": lambda value, digits: f"{value:,.0f}",
    "number": lambda value, digits: f"{value:.{digits}f}",
    "seconds": format_s,
    "signed_seconds": _signed_s,
    "bytes": format_bytes,
    "rate": lambda value, digits: text_rate(value),
    "frac": lambda value, digits: format_frac(value),
    "signed_frac": lambda value, digits: text_signed_frac(value),
    "points": lambda value, digits: f"{value / 10:+.1f} points" if value else "0.0 points",
    "factor": lambda value, digits: f"{value:.2f} x",
}
"""Text of a value by kind of column; the second argument is significant digits."""
WORDS = ("text", "flag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: which field of a row it shows, under which title, as which kind of quantity."""

    key: str
    title: str
    kind: str = "text"
    digits: int = 3
    note: str = ""
    """Field shown small under the value; empty for none."""
    wraps: bool = False
    """Whether a long value may be broken anywhere, as a hash may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value as text, and what it is sorted by."""

    text: str
    note: str
    sort: str
    """A number or the text itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table ready to be set; every cell carries its unit."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    headless: bool = False
    """Whether the columns need no titles."""

    def is_number(self, column: int) -> bool:
        """Whether a column is set to the right and sorted by value."""
        return self.columns[column].kind not in WORDS


def table(
    rows: Iterable[Row],
    columns: Sequence[Column],
    *,
    caption: str = "",
    by: str = "",
    sortable: bool = False,
) -> Table:
    """Format rows; with ``by`` the largest value of that field comes first."""
    notes = [column.note for column in columns if column.note]
    keys = [column.key for column in columns] + notes + [by] * bool(by)
    frame = pd.DataFrame(list(rows), columns=list(dict.fromkeys(keys)), dtype=object)
    if by:
        frame = frame.sort_values(by, ascending=False, kind="stable")
    records = frame.to_dict("records")
    return Table(
        caption=caption,
        columns=tuple(columns),
        rows=tuple(tuple(_cell(record, column) for column in columns) for record in records),
        sortable=sortable,
    )


def _cell(record: Mapping[Any, Any], column: Column) -> Cell:
    value = record[column.key]
    note = str(record[column.note]) if column.note else ""
    if value is None or value != value:  # noqa: PLR0124 - the definition of NaN
        return Cell(text=NONE, note=note, sort="")
    text = FORMATS[column.kind](value, column.digits)
    sort = text if column.kind in WORDS else f"{float(value):.12g}"
    return Cell(text=text, note=note, sort=sort)


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Return a table of names and values, without titles."""
    rows = [{"what": name, "value": value} for name, value in pairs]
    columns = [Column(key="what", title=""), Column(key="value", title="", wraps=True)]
    return replace(table(rows, columns), headless=True)


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in a paragraph or in a cell of a table.

    >>> escape_markdown("<b> & c")
    '&lt;b&gt; &amp; c'
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*|[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
