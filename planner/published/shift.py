"""Calibrate from a run of one's own: one row shifts what is predicted for its family, no more.

A family is a generation of software on a generation of devices. Let ``y`` be the mean logarithm of
measured over predicted time of ``n`` rows of a family, ``b`` the deviation with which sources lie
about our predictions and ``w`` that of the rows of one source about its middle, both known from
sources left out (:mod:`planner.published.spread`; apart for software that no row was fitted to).
The source of the rows then lies, by Bayes' rule for normal variables, at the shift

    s = y n b^2 / (n b^2 + w^2)

which draws few rows, or rows that scatter, to no shift (empirical Bayes: Efron and Morris, 1973).
All ops of the family take ``exp(s)`` times as long; links, and other families, stay as they are. So
a prediction moves to what was measured, by no more than the whole way.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from statistics import fmean

from hwprofiles.efficiency import Table, constants, family_of, generation_of
from hwprofiles.errors import RecordError
from hwprofiles.grade import Grade
from planner.evidence import Shift
from planner.published.cases import Case, express
from planner.published.names import Unsaid
from planner.published.predict import predicted_s
from planner.published.rows import Row, read_rows
from planner.published.spread import Spread, known_as, shipped


def shift_of(
    family: str, logs: Sequence[float], spread: Spread, *, seen: bool, fitted: bool = True
) -> Shift:
    """Return the shift that rows ask for; ``logs`` are those of measured over predicted times."""
    known = known_as(seen=seen, fitted=fitted)
    between = spread.between[known] ** 2 * len(logs)
    within = spread.within[known] ** 2
    weight = between / (between + within) if between + within else 0.0
    told = fmean(logs)
    return Shift(family=family, rows=len(logs), told=told, weight=weight, log=weight * told)


def shifted(shifts: Iterable[Shift], table: Table | None = None) -> Table:
    """Return constants with the shifts of some families."""
    return {**(table or constants()), "shifts": {shift.family: shift.log for shift in shifts}}


def case_family(case: Case, table: Table | None = None) -> str:
    """Return the family of a run, empty where its device belongs to no generation."""
    generation = generation_of(case.device, table)
    return family_of(case.stack, generation) if generation else ""


def is_seen(stack: str, table: Table | None = None) -> bool:
    """Return whether rows of this software are among those that constants are fitted to."""
    block = (table or constants())["stacks"].get(stack)
    return block is not None and not block["source"].startswith("0 ")


def row_shifts(path: Path, table: Table | None = None) -> tuple[Shift, ...]:
    """Return the shifts that a table of one's own runs asks for, one for each family in it.

    Raises
    ------
    RecordError
        When the file is no such table, or a row of it cannot be expressed or states no result that
        is a number.
    """
    rows = read_rows(path)
    known, spread = table or constants(), shipped()
    logs: dict[str, list[float]] = defaultdict(list)
    known_by: dict[str, dict[str, bool]] = {}
    for row in rows:
        if row.misread:
            raise RecordError(row.misread)
        case = _expressed(path, row)
        published_s = row.step_s(case.training.batch)
        if published_s is None:
            raise RecordError(
                f"{path}: row {row.case_id!r}: expected samples_per_s or fwd_ms and bwd_ms, got"
                " neither; state what was measured"
            )
        family = case_family(case, known)
        logs[family].append(log(published_s / predicted_s(case, case.machine(known))))
        known_by[family] = {
            "seen": is_seen(case.stack, known),
            "fitted": case.grade(known) is Grade.FITTED,
        }
    return tuple(
        shift_of(family, found, spread, **known_by[family]) for family, found in logs.items()
    )


def _expressed(path: Path, row: Row) -> Case:
    try:
        return express(row.told)
    except Unsaid as why:
        raise RecordError(
            f"{path}: row {row.case_id!r}: expected a run that can be expressed, but {why};"
            " correct the row"
        ) from why
