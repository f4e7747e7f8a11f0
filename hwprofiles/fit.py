"""Fits: measured ops to one roofline per op class."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import product

import numpy as np

from hwprofiles.calibration import OpSample
from hwprofiles.device import OpCurve
from hwprofiles.grade import Grade
from hwprofiles.roofline import roofline_s
from hwprofiles.units import GB, Floats

MIN_SIZES = 3
"""Three constants need three sizes; below that the rates are those of the samples themselves."""
PRIOR_WEIGHT = 0.01
"""Pull of a log constant to what the samples show at least, at 1 % of the weight of a sample.
Decides only what they leave open, e.g. the arithmetic rate of an op that memory always bounds."""
TELLING_SIZES, MIN_GAIN = 6, 0.1
"""Traffic is taken as not hidden where so many sizes say so: their loss is smaller by so much."""
OVERHEAD_STARTS = (0.05, 0.5, 0.95)
"""Overhead to start from, as a fraction of the shortest sample."""
RATE_STARTS = (1.0, 3.0)
"""Rates to start from, as multiples of the best rate any sample reached."""


def fit_curves(samples: Iterable[OpSample]) -> dict[str, OpCurve]:
    """Return the fitted roofline of every op class, by ``"class/dtype"``.

    Whether arithmetic hides memory traffic is part of the fit: whichever explains a class better.
    Least squares of the logarithm of the time, so that a small op weighs as much as a large one,
    with the soft L1 loss, so that one disturbed sample does not pull the rest (SciPy's
    ``least_squares``, Branch, Coleman and Li, SIAM J. Sci. Comput. 21(1), 1999).

    Parameters
    ----------
    samples : iterable of OpSample
        Measured ops of one identity; the order does not matter.

    Notes
    -----
    ASSUMES: one overhead and two rates serve all shapes of a class; tile and wave quantisation,
    caches and kernel choice are not modelled. The source of a curve names its median error.
    """
    classes: dict[str, list[OpSample]] = defaultdict(list)
    for sample in samples:
        classes[f"{sample.op_class}/{sample.dtype}"].append(sample)
    return {name: _fit_class(classes[name]) for name in sorted(classes)}


def _fit_class(samples: list[OpSample]) -> OpCurve:
    ordered = sorted(samples, key=lambda s: (s.flop, s.moved_bytes, s.signature))
    flop = np.array([s.flop for s in ordered], dtype=np.float64)
    moved_bytes = np.array([s.moved_bytes for s in ordered], dtype=np.float64)
    seconds = np.array([s.median_s for s in ordered])
    sizes = len({(s.flop, s.moved_bytes) for s in ordered})
    hidden = True
    if sizes < MIN_SIZES:
        constants = _few_sizes(flop, moved_bytes, seconds)
    else:
        constants, hidden = _least_squares(flop, moved_bytes, seconds, sizes)
    fitted_s = _roofline(constants, flop, moved_bytes, hidden=hidden)
    error = float(np.median(np.abs(fitted_s / seconds - 1)))
    overhead_s, flop_per_s, bytes_per_s = map(float, constants)
    how = "fitted to" if sizes >= MIN_SIZES else "rates of"
    return OpCurve(
        flop_per_s=flop_per_s,
        bytes_per_s=bytes_per_s,
        overhead_s=overhead_s,
        grade=Grade.FITTED,
        hidden=hidden,
        source=f"{how} {len(ordered)} samples of {sizes} sizes, median error {100 * error:.1f} %",
    )


def _roofline(constants: Floats, flop: Floats, moved_bytes: Floats, *, hidden: bool) -> Floats:
    overhead_s, flop_per_s, bytes_per_s = map(float, constants)
    return roofline_s(
        flop,
        moved_bytes,
        flop_per_s=flop_per_s,
        bytes_per_s=bytes_per_s,
        overhead_s=overhead_s,
        hidden=hidden,
    )


def _best_rates(flop: Floats, moved_bytes: Floats, busy_s: Floats) -> tuple[float, float]:
    """Return the best rates reached; a kind of work the class never does gets the other's."""
    flop_per_s, bytes_per_s = float(np.max(flop / busy_s)), float(np.max(moved_bytes / busy_s))
    return flop_per_s or bytes_per_s or 1.0 * GB, bytes_per_s or flop_per_s or 1.0 * GB


def _few_sizes(flop: Floats, moved_bytes: Floats, seconds: Floats) -> Floats:
    """Return (overhead, rates) from one size, or from the line through two."""
    work = moved_bytes if np.ptp(moved_bytes) > 0 else flop
    overhead_s = 0.0
    if np.ptp(work) > 0:
        small, large = work == work.min(), work == work.max()
        t_small, t_large = np.median(seconds[small]), np.median(seconds[large])
        slope = max(0.0, float(t_large - t_small) / float(np.ptp(work)))
        overhead_s = float(np.clip(t_small - slope * work.min(), 0.0, 0.9 * seconds.min()))
    return np.array([overhead_s, *_best_rates(flop, moved_bytes, seconds - overhead_s)])


def _least_squares(
    flop: Floats, moved_bytes: Floats, seconds: Floats, sizes: int
) -> tuple[Floats, bool]:
    """Return (overhead, rates), and whether traffic is hidden; worked out once a process."""
    samples = [tuple(values.tolist()) for values in (flop, moved_bytes, seconds)]
    constants, loss = _best_start(*samples, hidden=True)
    if sizes >= TELLING_SIZES and flop.any():
        added, loss_added = _best_start(*samples, hidden=False)
        if loss_added < (1 - MIN_GAIN) * loss:
            return np.array(added), False
    return np.array(constants), True


@cache
def _best_start(*samples: tuple[float, ...], hidden: bool) -> tuple[tuple[float, ...], float]:
    """Return the constants of the best of several starts, and their loss."""
    from scipy.optimize import least_squares

    flop, moved_bytes, seconds = map(np.array, samples)
    rates = np.log(_best_rates(flop, moved_bytes, seconds))
    shortest = float(np.log(seconds.min()))
    # Wide bounds on logs: every constant is positive, none runs away where the samples are silent.
    low = np.array([shortest - 12.0, *(rates - 1.0)])
    high = np.array([shortest + 0.1, *(rates + 12.0)])

    anchor = np.array([shortest + np.log(0.5), *rates])

    def residuals(logs: Floats) -> Floats:
        fitted_s = _roofline(np.exp(logs), flop, moved_bytes, hidden=hidden)
        return np.concatenate([np.log(fitted_s / seconds), PRIOR_WEIGHT * (logs - anchor)])

    best, least = anchor, np.inf
    for share, at_flop, at_bytes in product(OVERHEAD_STARTS, RATE_STARTS, RATE_STARTS):
        start = np.array([shortest + np.log(share), *(rates + np.log([at_flop, at_bytes]))])
        found = least_squares(residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.1)
        if found.cost < least:
            best, least = found.x, found.cost
    return tuple(np.exp(best).tolist()), float(least)
