"""Write ``docs/collectives.md``: how far predictions of published collectives are off.

``python -m planner.published.collective_page TABLE.csv > docs/collectives.md``. Beside the errors
of the shipped constants stand those of constants that a source had no part in.
"""

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from hwprofiles.transport import FRACTIONS, transports
from planner.published.collective_assess import (
    PARTS,
    Held,
    collective_summaries,
    held,
    hold,
)
from planner.published.collective_fit import left_out, samples, shipped_samples
from planner.published.collective_rows import CollectiveRow, read_collectives
from planner.published.summary import Summary, summary

NOTES = Path(__file__).with_name("collective_notes.toml")
WORST = 10
HEAD = """# Collectives

Predicted against published times of collectives. Written by
`python -m planner.published.collective_page TABLE.csv > docs/collectives.md`; the constants
(`hwprofiles/data/transports.toml`) by `python -m planner.published.collective_fit TABLE.csv`, which
takes in the shipped table of isolated nodes (`planner/published/collectives.csv`) as well. The law
is `planner/transport_law.py`: volumes are those of the algorithms, only latencies and shares of the
wire are fitted, by transport stack; a system is its links. `foreplan validate TABLE.csv` prints the
errors of any table with the same columns.

Errors are predicted over published time, less 1, of rows that state fabric and result and that
their notes do not flag; median, mean and P90 of their sizes. *Left out*: with constants fitted
without the source of the row. *In 80 %*: share of the published times inside the interval that is
stated."""


def page(rows: Sequence[CollectiveRow]) -> str:
    """Return the page."""
    found = hold(rows)
    outside = left_out_rows(rows)
    summed, left = collective_summaries(found), collective_summaries(outside)
    counted = [one for one in found if one.counts]
    large = [one for one in counted if one.is_large]
    large_left = [one for one in outside if one.counts and one.is_large]
    parts = [(name, summed["by_part"][name], left["by_part"][name]) for name in PARTS]
    means = (summed["mean_of_sources"], left["mean_of_sources"])
    sections = [
        HEAD,
        _both("Part", [*parts, ("64 KiB and more, mean of sources", *means)]),
        "## By source, 64 KiB and more",
        _grouped("Source", large, large_left, lambda one: one.row.source),
        "## By transport stack, 64 KiB and more",
        _grouped("Stacks, from the inside", large, large_left, _stacks),
        "## By system, 64 KiB and more",
        _grouped("System, ranks, collective", large, large_left, _system),
        "## Apart",
        _apart(found),
        f"## The {WORST} rows farthest off",
        _worst(large),
        "## Constants",
        constants_section(),
    ]
    return "\n\n".join(sections)


def left_out_rows(
    rows: Sequence[CollectiveRow],
    progress: Callable[[int, int, str], None] = lambda done, total, source: None,
) -> list[Held]:
    """Hold every row of a table against constants that its source had no part in."""
    own = set(map(id, rows))
    every = left_out([*samples(rows), *shipped_samples()], progress)
    return [held(s.row, constants, seen) for s, constants, seen in every if id(s.row) in own]


def _stacks(one: Held) -> str:
    return " + ".join(one.case.stacks) if one.case else "not expressed"


def _system(one: Held) -> str:
    told = one.row.told
    ranks = told.get("devices") or "ranks not stated"
    return f"{told['system']}, {ranks}, {told['collective']}"


def _grouped(
    title: str, found: Sequence[Held], outside: Sequence[Held], key: Callable[[Held], str]
) -> str:
    groups: dict[str, list[Held]] = defaultdict(list)
    left: dict[str, list[Held]] = defaultdict(list)
    for one in found:
        groups[key(one)].append(one)
    for one in outside:
        left[key(one)].append(one)
    rows = [(name, _of(groups[name]), _of(left[name])) for name in sorted(groups)]
    return _both(title, rows)


def _of(found: Iterable[Held]) -> Summary:
    return summary(one.assessed for one in found)


def _both(title: str, rows: Iterable[tuple[str, Summary, Summary]]) -> str:
    heads = (title, "rows", "covered", "median", "mean", "P90", "bias", "in 80 %")
    left = ("left out: median", "mean", "P90", "in 80 %")
    lines: list[tuple[str, ...]] = [(*heads, *left)]
    for name, fitted, outside in rows:
        cells = (_percent(v) for v in (fitted.median, fitted.mean, fitted.p90))
        more = (_percent(v) for v in (outside.median, outside.mean, outside.p90, outside.inside))
        bias = f"{fitted.bias:+.1%}" if fitted.bias is not None else ""
        covered = f"{fitted.coverage:.0%}"
        row = (name, f"{fitted.rows:.0f}", covered, *cells, bias, _percent(fitted.inside), *more)
        lines.append(row)
    return _table(lines)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    rule = "| --- |" + " ---: |" * (len(lines[0]) - 1)
    return "\n".join([head, rule, *rest])


def _apart(found: Sequence[Held]) -> str:
    """Return the rows that are not counted or not covered, with the reason."""
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    for one in found:
        reason = "flagged in its notes" if one.row.flagged else one.assessed.reason
        if reason:
            reasons[one.row.source, reason] += 1
    lines = [("Source", "rows", "reason")]
    lines += [(source, str(n), reason) for (source, reason), n in sorted(reasons.items())]
    return _table(lines)


def worst(found: Iterable[Held]) -> list[Held]:
    """Return the rows that are farthest off, by the logarithm: too fast and too slow alike."""
    told = [one for one in found if one.assessed.error is not None]
    return sorted(told, key=lambda one: -_far(one.assessed.error or 0.0))[:WORST]


def _far(error: float) -> float:
    return max(1 + error, 1 / (1 + error))


def _worst(found: Iterable[Held]) -> str:
    lines: list[tuple[str, ...]] = [("Row", "published", "predicted", "error", "why")]
    for one in worst(found):
        row = one.assessed
        assert row.published
        assert row.predicted
        assert row.error is not None
        times = (f"{value * 1e6:.4g} us" for value in (row.published, row.predicted))
        lines.append((f"`{row.case_id}`", *times, f"{row.error:+.0%}", note(row.case_id)))
    return _table(lines)


@cache
def _notes() -> dict[str, str]:
    return dict(tomllib.loads(NOTES.read_text(encoding="utf-8"))["rows"])


def note(case_id: str) -> str:
    """Return what is known of a row that is far off, by the pattern of its name."""
    return next((text for name, text in _notes().items() if re.fullmatch(name, case_id)), "")


def constants_section() -> str:
    """Return the stacks with their constants; those that are assumed stand in brackets."""
    blocks = transports()["stacks"]
    count = sum(len(block["fitted"]) for block in blocks.values())
    lines = [("Stack", "library", "rows", "sources", "constants")]
    for name, block in blocks.items():
        shown = []
        for key, value in block["constants"].items():
            text = f"{key} {value:g}" + ("" if key.endswith(FRACTIONS) else " us")
            shown.append(text if key in block["fitted"] else f"({text})")
        sources = (str(block["rows"]), str(block["sources"]))
        lines.append((name, block["library"], *sources, ", ".join(shown)))
    intro = (
        f"{count} constants are fitted; those in brackets are assumed, or another stack's. A rate"
        " is that of the datasheet."
    )
    return f"{intro}\n\n{_table(lines)}"


def main(arguments: Sequence[str]) -> None:
    """Print the page of a table of published collectives."""
    if len(arguments) != 1:
        raise SystemExit("expected the path of a table of published collectives")
    sys.stdout.write(page(read_collectives(Path(arguments[0]))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
