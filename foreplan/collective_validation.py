"""What ``validate`` does with a table of collectives: errors by source, size and nodes."""

import json as as_json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foreplan.console import out, progress, show_json, table
from planner.jsonable import to_jsonable
from planner.published.collective_assess import Held, collective_summaries, hold
from planner.published.collective_rows import read_collectives
from planner.published.summary import Summary
from planner.records import write_bytes

WORST = 10
HEADS = ("rows", "covered", "median", "mean", "P90", "bias", "order", "in 80 %")


def validate_collectives(
    cases: Path, json_file: Path | None, *, leave_out: bool, json: bool, quiet: bool
) -> None:
    """Predict published collectives without looking at their results; print the errors.

    With ``leave_out`` also with constants fitted without the source of each row.
    """
    rows = read_collectives(cases)
    with progress("predicting", quiet=quiet) as step:
        found = hold(rows, progress=lambda done, total: step(done, total, ""))
    summed = collective_summaries(found)
    record = {"rows": [one.assessed for one in found], "summary": summed}
    left: list[Held] = []
    if leave_out:
        from planner.published.collective_page import left_out_rows

        with progress("leaving sources out", quiet=quiet) as step:
            left = left_out_rows(rows, step)
        record["left_out"] = [one.assessed for one in left]
    if json_file is not None:
        write_bytes(json_file, as_json.dumps(to_jsonable(record), indent=1).encode())
    if json:
        show_json(record)
        return
    table(("source, all sizes", *HEADS), [(n, *cells(s)) for n, s in summed["by_source"].items()])
    out()
    _show_parts("part", summed)
    if left:
        out()
        _show_parts("part, each source left out", collective_summaries(left))
    _show_apart(found)
    out()
    told = [one.assessed for one in found if one.counts and one.assessed.error is not None]
    worst = sorted(told, key=lambda row: -abs(row.error or 0))[:WORST]
    table(
        ("farthest off", "published", "predicted", "error"),
        [
            (r.case_id, f"{r.published:.4g} s", f"{r.predicted:.4g} s", f"{r.error:+.0%}")
            for r in worst
        ],
    )


def _show_parts(title: str, summed: Mapping[str, Any]) -> None:
    parts = {**summed["by_part"], "64 KiB and more, mean of sources": summed["mean_of_sources"]}
    table((title, *HEADS), [(name, *cells(s)) for name, s in parts.items() if s.rows])


def _show_apart(found: list[Held]) -> None:
    """Say how many rows are not counted, or not covered, and why."""
    reasons: dict[str, int] = {}
    for one in found:
        reason = "flagged in its notes" if one.row.flagged else one.assessed.reason
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        out()
        table(("apart, or not covered", "rows"), [(name, str(n)) for name, n in reasons.items()])


def cells(summary: Summary) -> tuple[str, ...]:
    """Return a summary as the cells under ``HEADS``."""
    return (
        f"{summary.rows:.0f}",
        f"{summary.coverage:.0%}",
        *(f"{v:.1%}" if v is not None else "" for v in (summary.median, summary.mean, summary.p90)),
        f"{summary.bias:+.1%}" if summary.bias is not None else "",
        *(f"{v:.0%}" if v is not None else "" for v in (summary.concordance, summary.inside)),
    )
