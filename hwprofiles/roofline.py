"""The roofline: the one law that turns work into compute time."""

from typing import cast

import numpy as np

from hwprofiles.units import Q


def roofline_s(
    flop: Q,
    moved_bytes: Q,
    *,
    flop_per_s: float,
    bytes_per_s: float,
    overhead_s: float,
    hidden: bool = True,
) -> Q:
    """Time of one op, seconds: a fixed overhead, then the slower of arithmetic and memory traffic.

    Scalar or per candidate; ``moved_bytes`` counts every element read and written once. Where the
    shorter of both is not ``hidden`` behind the other, their sum: a product of matrices on a core
    copies its operands into blocks before it computes.
    Source: Williams, Waterman and Patterson, Commun. ACM 52(4), 2009, eq. 1; the overhead is ours
    (launch or call cost, measured or from the profile).

    >>> roofline_s(2e9, 1e6, flop_per_s=1e9, bytes_per_s=1e9, overhead_s=0.5)
    2.5
    """
    computing, moving = np.asarray(flop) / flop_per_s, np.asarray(moved_bytes) / bytes_per_s
    busy = np.maximum(computing, moving) if hidden else computing + moving
    total = overhead_s + busy
    return cast("Q", float(total) if np.ndim(total) == 0 else total)
