"""Say what a run of one's own has shifted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foreplan.console import out

if TYPE_CHECKING:
    from planner.evidence import Shift


def show_shifts(shifts: "Sequence[Shift]") -> None:
    """Print what a run of one's own has shifted."""
    for s in shifts:
        out(
            f"calibrated: {s.family}: ops take {s.factor:.3g} times as long ({s.rows} rows measured"
            f" over predicted: {s.told_factor:.3g}; weight {s.weight:.2f}); other families stay"
        )
