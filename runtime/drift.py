"""Sentinels: has the machine changed since its ops were timed, and do its cores agree."""

from collections.abc import Mapping, Sequence

import numpy as np

from hwprofiles.errors import CheckFailed

SENTINEL_DRIFT_FRAC = 0.10
"""At the start of a run: sentinels that moved more than this since calibration refuse the costs."""

Times = Mapping[str, Sequence[float]]
"""Seconds of each sentinel op, by signature, then rank."""


def drift(before: Times, after: Times) -> float:
    """Largest relative change of any sentinel's mean over ranks."""
    moved = [
        abs(float(np.mean(after[name])) / float(np.mean(times)) - 1)
        for name, times in before.items()
        if name in after
    ]
    return max(moved, default=0.0)


def spread(times: Times) -> float:
    """Largest relative difference of any sentinel between ranks."""
    return max((max(t) / min(t) - 1 for t in times.values()), default=0.0)


def refuse_drift(expected: Times, found: Times) -> None:
    """Refuse costs that were measured while the machine was faster or slower than now.

    Raises
    ------
    CheckFailed
        When a sentinel moved by more than ``SENTINEL_DRIFT_FRAC``.
    """
    moved = drift(expected, found)
    if moved > SENTINEL_DRIFT_FRAC:
        raise CheckFailed(
            f"sentinel ops: moved {moved:.1%} since the calibration (at most"
            f" {SENTINEL_DRIFT_FRAC:.0%}); run `foreplan hw calibrate` and plan again, or give"
            " --allow-drift"
        )
