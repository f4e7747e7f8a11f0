"""``validate``: hold predictions against published training runs and collectives."""

from pathlib import Path
from typing import Annotated

import typer

from foreplan.commands.options import Json, Quiet, writable
from foreplan.console import out, progress, show_json, table

WORST = 10


def validate(
    cases: Annotated[
        Path | None,
        typer.Argument(help="A table of runs or collectives (CSV); left out: the shipped handful."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json-file", callback=writable, help="Write every row into this file."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict published runs or collectives without looking at their results; print the errors.

    Errors are predicted over published time, less 1. Rows of models that are out of scope, flagged
    rows and rows that cannot be expressed are counted apart, each with its reason in the JSON.
    """
    import json as as_json

    from foreplan.collective_validation import validate_collectives
    from planner.jsonable import to_jsonable
    from planner.published.assess import assess, summaries
    from planner.published.collective_rows import is_collectives
    from planner.published.rows import SMALL, read_rows
    from runtime.files import replace_whole

    if cases and is_collectives(cases):
        validate_collectives(cases, json_file, json=json, quiet=quiet)
        return
    rows = read_rows(cases or SMALL)
    with progress("predicting", quiet=quiet) as step:
        found = assess(rows, progress=lambda done, total: step(done, total, ""))
    summed = summaries(found)
    record = {"rows": found, "summary": summed}
    if json_file is not None:
        replace_whole(json_file, as_json.dumps(to_jsonable(record), indent=1).encode())
    if json:
        show_json(record)
        return
    heads = ("source", "rows", "covered", "median", "mean", "P90", "bias", "order", "in 80 %")
    parts = {**summed["by_source"], "all": summed["overall"]}
    shown = [
        (
            name,
            str(s.rows),
            f"{s.coverage:.0%}",
            *(f"{v:.1%}" if v is not None else "" for v in (s.median, s.mean, s.p90)),
            f"{s.bias:+.1%}" if s.bias is not None else "",
            *(f"{v:.0%}" if v is not None else "" for v in (s.concordance, s.inside)),
        )
        for name, s in parts.items()
    ]
    table(heads, shown)
    told = [row for row in found if row.error is not None and row.in_scope and not row.flagged]
    worst = sorted(told, key=lambda row: -abs(row.error or 0))[:WORST]
    out()
    table(
        ("farthest off", "published", "predicted", "error"),
        [
            (r.case_id, f"{r.published:.4g} s", f"{r.predicted:.4g} s", f"{r.error:+.0%}")
            for r in worst
        ],
    )
