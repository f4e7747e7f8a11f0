"""``validate``: hold predictions against published training runs and collectives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foreplan.commands.options import Calibrate, Json, Quiet, writable
from foreplan.console import out, progress, show_json, table
from foreplan.shifts import show_shifts

if TYPE_CHECKING:
    from planner.published.assess import Assessed
    from planner.published.give_back import Experiment
    from planner.published.leave_out import LeftOut, Refits
    from planner.published.neighbours import GenerationLeftOut

WORST = 10
HEADS = (
    "source", "rows", "covered", "median", "mean", "P90", "bias", "order", "regret", "in 80 %",
)  # fmt: skip
LEFT_HEADS = ("left out: median", "mean", "P90")


def validate(
    cases: Annotated[
        Path | None,
        typer.Argument(help="A table of runs or collectives (CSV); left out: the shipped handful."),
    ] = None,
    leave_out: Annotated[
        bool,
        typer.Option(
            "--leave-out", help="Fit without each source in turn, and predict it; minutes."
        ),
    ] = False,
    calibrate: Calibrate = None,
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
    `throughput_unit` says what samples_per_s counts (images/s, tokens/s/GPU, ms/step); without a
    rate, step_ms or fwd_ms and bwd_ms are what was measured. Pipelines count where their layout is
    stated: columns `micro_batches` (of a step) and `layer_balance` (layers of each stage, joined by
    |); `batch_per_device` is then a microbatch.
    """
    import json as as_json

    from foreplan.collective_validation import validate_collectives
    from hwprofiles.errors import PlanError
    from planner.jsonable import to_jsonable
    from planner.published.assess import assess
    from planner.published.collective_rows import is_collectives
    from planner.published.give_back import experiment
    from planner.published.measured import read_shifts
    from planner.published.rows import SMALL, read_rows
    from planner.published.shift import shifted
    from planner.published.summary import summaries
    from planner.records import write_bytes

    if cases and is_collectives(cases):
        if calibrate:
            raise PlanError(
                f"--calibrate: expected a table of training runs, got the collectives of {cases};"
                " leave the option out"
            )
        validate_collectives(cases, json_file, leave_out=leave_out, json=json, quiet=quiet)
        return
    rows = read_rows(cases or SMALL)
    shifts = read_shifts(calibrate) if calibrate else ()
    with progress("predicting", quiet=quiet) as step:
        found = assess(
            rows, shifted(shifts) if shifts else None, lambda done, total: step(done, total, "")
        )
    refitted = _refits(cases or SMALL, quiet=quiet) if leave_out else None
    left = refitted.rows if refitted else ()
    summed = summaries(found)
    record: dict[str, Any] = {"rows": found, "summary": summed}
    if shifts:
        record["shifts"] = shifts
    if refitted:
        record["left_out"] = left
        record["given_back"] = experiment(refitted)
        record["generations_left_out"] = refitted.generations
    if json_file is not None:
        write_bytes(json_file, as_json.dumps(to_jsonable(record), indent=1).encode())
    if json:
        show_json(record)
        return
    show_shifts(shifts)
    _show_sources(summed, left)
    if refitted:
        _show_given_back(record["given_back"])
        _show_generations(refitted.generations)
    _show_apart(found)
    _show_worst(found)


def _refits(path: Path, *, quiet: bool) -> "Refits":
    from planner.published.leave_out import refits
    from planner.published.rows import read_rows

    with progress("leaving sources out", quiet=quiet) as step:
        return refits(read_rows(path), step)


def _show_given_back(found: "Experiment") -> None:
    all_rows = found.overall
    out(
        "one row of a source given back: median error of its other rows"
        f" {all_rows.before:.1%} before, {all_rows.after:.1%} after; of those of its family"
        f" {_percent(all_rows.family_before)} and {_percent(all_rows.family_after)}"
    )


def _show_generations(found: "Sequence[GenerationLeftOut]") -> None:
    from planner.published.neighbours import held_frac

    out()
    table(
        ("generation left out", "like", "rows", "fitted: median", "median", "P90", "in 80 %"),
        [
            (
                one.generation,
                one.like,
                str(one.rows),
                *map(_percent, (one.fitted_median, one.median, one.p90)),
                _percent(one.held_frac, 0),
            )
            for one in found
        ],
    )
    out(f"80 % intervals that other generations set hold {held_frac(found):.0%} of these rows")


def _percent(value: float | None, digits: int = 1, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.{digits}%}"


def _show_sources(summed: Mapping[str, Any], left: "Sequence[LeftOut]") -> None:
    from planner.published.summary import figures

    parts = {
        **summed["by_source"],
        "mean of sources": summed["mean_of_sources"],
        "all": summed["overall"],
    }
    beside: dict[str, tuple[float | None, ...]] = {}
    if left:
        by_source = {
            name: figures([row.error for row in left if row.source == name])
            for name in {row.source for row in left}
        }
        means = (sum(f) / len(by_source) for f in zip(*by_source.values(), strict=True))
        beside = {
            **by_source,
            "mean of sources": tuple(means),
            "all": figures([row.error for row in left]),
        }
    table(
        (*HEADS, *(LEFT_HEADS if left else ())),
        [
            (
                name,
                f"{s.rows:.0f}",
                _percent(s.coverage, 0),
                *map(_percent, (s.median, s.mean, s.p90)),
                _percent(s.bias, 1, "+"),
                _percent(s.concordance, 0),
                _percent(s.regret),
                _percent(s.inside, 0),
                *(map(_percent, beside.get(name, (None,) * 3)) if left else ()),
            )
            for name, s in parts.items()
        ],
    )
    if left:
        from planner.published.leave_out import held_frac

        held, of_others = held_frac(left)
        out(
            f"80 % intervals hold {held:.0%} of left-out rows; {of_others:.0%} where the source has"
            " no part in their width"
        )


def _show_apart(found: "Sequence[Assessed]") -> None:
    from collections import Counter

    parts = {
        "rows apart": Counter(row.reason for row in found if not row.in_scope),
        "rows in scope that are not covered": Counter(
            row.reason for row in found if row.in_scope and not row.covered
        ),
    }
    told = (row for row in found if row.in_scope and row.covered)
    parts["blanks of covered rows that were filled in (`assumed` in the JSON)"] = Counter(
        column for row in told for column in row.assumed
    )
    for name, reasons in parts.items():
        if reasons:
            out()
            out(f"{sum(reasons.values())} {name}, most often:")
            for reason, count in reasons.most_common(WORST):
                out(f"  {count}: {reason}")


def _show_worst(found: "Sequence[Assessed]") -> None:
    told = [row for row in found if row.covered and row.in_scope and not row.flagged]
    worst = sorted(told, key=lambda row: -abs(row.error or 0))[:WORST]
    out()
    table(
        ("farthest off", "published", "predicted", "error"),
        [
            (r.case_id, f"{r.published:.4g} s", f"{r.predicted:.4g} s", f"{r.error:+.0%}")
            for r in worst
        ],
    )
