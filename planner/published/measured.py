"""Runs of one's own from a file: rows of a table, or what ``execute`` has measured."""

from math import log1p
from pathlib import Path

from hwprofiles.efficiency import family_of
from hwprofiles.errors import RecordError
from planner.evidence import Shift
from planner.measurement import Measurement
from planner.predict import INTERVAL_FRAC
from planner.published.shift import row_shifts, shift_of
from planner.published.spread import TO_80, Spread
from planner.records import read_record

LOCAL = "local"
LOCAL_FAMILY = family_of("foreplan", LOCAL)
"""Our own kernels on the machine at hand, whose ops are measured one by one."""
LOCAL_WITHIN = 0.06
"""Deviation of models on one machine about its middle: the checks of docs/accuracy.md whose ops
were measured."""


def read_shifts(path: Path) -> tuple[Shift, ...]:
    """Return the shifts that runs of one's own ask for, one for each family in the file.

    Raises
    ------
    RecordError
        When the file is neither a table of runs with results nor a measurement of ``local``.
    """
    return (_measured(path),) if path.suffix == ".json" else row_shifts(path)


def _measured(path: Path) -> Shift:
    found = read_record(path, Measurement, "a measurement file, or a table of runs (.csv)")
    if found.cluster != LOCAL:
        raise RecordError(
            f"{path}: expected a run on {LOCAL}, got one on {found.cluster!r}; state runs of other"
            " machines as rows of a table (.csv)"
        )
    grade = found.ranked.prediction.grade
    claim = next(frac for known, frac in INTERVAL_FRAC.items() if known.label == grade)
    between = log1p(claim) / TO_80
    spread = Spread(interval={}, between={"seen": between}, within={"seen": LOCAL_WITHIN})
    return shift_of(LOCAL_FAMILY, [-log1p(found.error_frac)], spread, seen=True)
