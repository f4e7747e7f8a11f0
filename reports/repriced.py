"""A what-if in words: what changed hardware does to the plans of a file."""

from collections.abc import Iterator

from hwprofiles.units import format_s
from planner.whatif import Repriced, WhatIf
from reports.shares import share
from reports.tables import text_rate

Rows = list[tuple[str, ...]]


def what_if_lines(found: WhatIf) -> Iterator[str]:
    """Yield what the changed hardware does to the answer."""
    settings = ", ".join(found.settings)
    if not found.changes_hardware:
        yield f"{settings}: the hardware stays as it is."
    if found.winner_after == found.winner_before:
        yield f"With {settings} {found.winner_after} is still the best plan."
    else:
        yield (
            f"With {settings} {found.winner_after} is the best plan, no longer"
            f" {found.winner_before}."
        )
    yield f"{found.statement[:1].upper()}{found.statement[1:]}."


def what_if_rows(found: WhatIf) -> Rows:
    """Return every plan before and after."""
    left = "not among the first" if found.searched else "does not fit"
    return [_repriced(row, left) for row in found.plans]


def _repriced(row: Repriced, left: str) -> tuple[str, ...]:
    old, new = row.before, row.after
    moved = row.step_change_frac
    return (
        row.label,
        format_s(old.step_s, 4) if old else "not listed",
        format_s(new.step_s, 4) if new else left,
        "" if moved is None else share(moved, signed=True),
        format_s(new.closed_form_s, 4) if new else "",
        text_rate(new.samples_per_s) if new else "",
        new.grade if new else "",
    )
