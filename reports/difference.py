"""A difference between plan files in words: figures in their units, parts of one file a line."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from hwprofiles.grade import Grade
from hwprofiles.tiers import format_rate
from hwprofiles.units import format_bytes, format_flop, format_frac, format_s
from planner.plan import size_name
from planner.plandiff import Difference
from reports.shares import share
from reports.tables import text_rate

HASH_DIGITS = 16
MOST_VALUES = 4
"""Of a list; of more it is told how many."""
NOISE_FRAC = 1e-9
"""Times that differ by less are one time, summed in another order."""
CURVES, EXAMPLES, PATH = " curves.", "examples.", "critical path"
NO_RATIOS, NO_RATIO = ("plan", "search"), ("_frac", "grade", "seed")
"""Sections, and ends of fields, of which a ratio tells nothing."""
COUNTED: Mapping[str, Callable[[Difference], bool]] = {
    "fitted curves": lambda row: CURVES in row.field,
    "other plans": lambda row: row.section == "other plans",
    "examples of verdicts": lambda row: row.section == "search" and row.field.startswith(EXAMPLES),
}
"""What is too much to be shown: name, and which rows it is."""


def difference_lines(found: Sequence[Difference]) -> Iterator[str]:
    """Yield how much faster the second is, then the differences by section.

    Of what is too much to be shown only how many are told.
    """
    yield from _verdict(found)
    shown = [
        row
        for row in found
        if not any(is_of(row) for is_of in COUNTED.values()) and not _is_noise(row.a, row.b)
    ]
    for section, rows in groupby(shown, key=lambda row: row.section):
        yield f"{section}:"
        yield from (f"  {line}" for line in _section(list(rows)))
    for name, is_of in COUNTED.items():
        if count := sum(map(is_of, found)):
            fields = "1 field differs" if count == 1 else f"{count} fields differ"
            yield f"{name}: {fields}; --json lists them"


def _verdict(found: Sequence[Difference]) -> Iterator[str]:
    for row in found:
        if row.section == "prediction" and row.field == "samples_per_s":
            times = row.b / row.a
            yield f"the second trains {times:.4g} times as fast as the first"


def _is_noise(a: Any, b: Any) -> bool:
    are_times = isinstance(a, float) and isinstance(b, float)
    return are_times and math.isclose(a, b, rel_tol=NOISE_FRAC)


def _section(rows: Sequence[Difference]) -> Iterator[str]:
    """Yield a line a field; devices and links that one file alone has are only named."""
    for part, own in groupby(rows, key=lambda row: _part(row.field)):
        fields = list(own)
        sides = {(row.a is None, row.b is None) for row in fields}
        if part and len(sides) == 1 and len(fields) > 1 and (one := sides.pop()) != (False, False):
            yield f"{part}: only in the {'first' if one[1] else 'second'}"
        else:
            yield from (_line(row) for row in fields)


def _part(field: str) -> str:
    """Return the device, the link or the ops that a field is of; nothing for any other.

    >>> _part("device a100-sxm4-80g efficiency.source"), _part("training.batch")
    ('device a100-sxm4-80g', '')
    """
    return field.rpartition(" ")[0]


def _line(row: Difference) -> str:
    name = f"{row.field}_s" if row.section == PATH else row.field
    told = f"{row.field}: {with_unit(name, row.a)} -> {with_unit(name, row.b)}"
    return f"{told} ({share(row.b / row.a - 1, signed=True)})" if _has_ratio(row) else told


def _has_ratio(row: Difference) -> bool:
    """Whether how many times one value the other is tells something."""
    are_numbers = all(type(x) in (int, float) and x > 0 for x in (row.a, row.b))
    return are_numbers and row.section not in NO_RATIOS and not row.field.endswith(NO_RATIO)


def with_unit(field: str, value: Any) -> str:
    """Return a value in the unit that the end of its field's name says.

    >>> with_unit("interval_s", [0.001, 0.002]), with_unit("tasks", 8487)
    ('1 ms, 2 ms', '8,487')
    >>> with_unit("bucket_bytes", 25 << 20), with_unit("memory_bytes", 25 << 20)
    ('25MiB', '26.21 MB')
    """
    if isinstance(value, list | tuple):
        some, is_law = value[:MOST_VALUES], field.endswith("overheads")
        shown = _overheads(some) if is_law else [with_unit(field, one) for one in some]
        return ", ".join([*shown, *[f"... ({len(value)})"] * (len(value) > MOST_VALUES)])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(field, value)
    return _shown(value)


def _overheads(points: Sequence[Any]) -> list[str]:
    """Return the overheads of a link, each with the size from which it holds."""
    return [f"{format_s(seconds)} from {format_bytes(size)}" for size, seconds in points]


UNITS: tuple[tuple[tuple[str, ...], Callable[[Any], str]], ...] = (
    (("bucket_bytes",), size_name),
    (("samples_per_s",), text_rate),
    (("bytes_per_s",), format_rate),
    (("flop_per_s", "flop_per_s."), lambda value: f"{format_flop(value)}/s"),
    (("_bytes", "_bytes."), lambda value: format_bytes(value, 4)),
    (("_frac", "_frac."), lambda value: format_frac(value, 2)),
    (("_s", "_s."), lambda value: format_s(value, 4)),
    (("power_w",), lambda value: f"{value:g} W"),
    (("usd_per_h",), lambda value: f"${value:g}/h"),
    ((" grade",), lambda value: Grade(value).name.lower()),
)
"""Ends of names, or what stands before a key of a mapping, and how their numbers are told."""


def _number(field: str, value: float) -> str:
    for marks, tell in UNITS:
        if any(mark in field if mark.endswith(".") else field.endswith(mark) for mark in marks):
            return tell(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        if "name" in value:
            links = f" on {', '.join(value['links'])}" if value.get("links") else ""
            return f"{value['name']}{links}"
        return ", ".join(f"{name}={_shown(inner)}" for name, inner in value.items()) or "-"
    text = str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:HASH_DIGITS] if is_hash else text
