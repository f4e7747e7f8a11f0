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
    "byte_rate": lambda value, digits: f"{format_bytes(value, digits)}/s",
    "rate": lambda value, digits: text_rate(value),
    "frac": lambda value, digits: format_frac(value),
    "signed_frac": lambda value, digits: text_signed_frac(value),
    "points": lambda value, digits: f"{value / 10:+.1f} points" if value else "0.0 points",
    "factor": lambda value, digits: f"{value:.2f} x",
    "usd": lambda value, digits: f"{value:,.{digits}g} USD",
    "kwh": lambda value, digits: f"{value:,.{digits}g} kWh",
}
"""Text of a value by kind of column; the second argument is significant digits."""
WORDS = ("text", "flag")
DIFFERENCES = ("frac", "signed_frac")
"""Kinds whose change is told in points: a share of a share says little."""


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
    is_headed: bool = False
    """Whether the first cell of a row names the row."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One quantity of every plan of a comparison."""

    title: str
    values: tuple[Any, ...]
    """None where a plan has none."""
    kind: str = "text"
    digits: int = 3
    meaning: str = ""


def compared(
    names: Sequence[str], lines: Iterable[Line], caption: str = "", *, is_changed: bool = True
) -> Table:
    """Return a line a quantity and a column a plan.

    With ``is_changed`` numbers say how far they are from those of the first plan.
    """
    one = len(names) == 1
    rows = []
    for line in lines:
        column = Column(key="value", title="", kind=line.kind, digits=line.digits)
        first, *others = line.values
        cells = [_cell({"value": first}, column)]
        cells += [
            replace(
                _cell({"value": value}, column),
                note=_change(line.kind, value, first) if is_changed else "",
            )
            for value in others
        ]
        rows.append((Cell(text=line.title, note=line.meaning, sort=line.title), *cells))
    columns = [Column(key="what", title=""), *(Column(key=n, title=n, wraps=one) for n in names)]
    return Table(
        caption=caption, columns=tuple(columns), rows=tuple(rows), headless=one, is_headed=True
    )


def split_common(lines: Iterable[Line]) -> tuple[list[Line], list[Line]]:
    """Return the lines in which plans differ, and what the others say of all of them."""
    differ, common = [], []
    for line in lines:
        if len(set(line.values)) == 1:
            common.append(replace(line, values=line.values[:1]))
        else:
            differ.append(line)
    return differ, common


def _change(kind: str, value: Any, first: Any) -> str:
    """Say how far a quantity is from the first plan's; a double and more as a factor."""
    if kind in WORDS or value is None or first is None or value == first:
        return ""
    if kind in DIFFERENCES:
        return f"{100 * (value - first):+.1f} points"
    if not first:
        return ""
    return f"{value / first:.3g} x" if value >= 2 * first else text_signed_frac(value / first - 1)


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in a paragraph or in a cell of a table.

    >>> escape_markdown("<b> & c")
    '&lt;b&gt; &amp; c'
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*|[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
