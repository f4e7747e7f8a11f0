"""The judge of a scaled loss, and gradients as an optimizer of halves takes them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from planner.opcall import PIECE
from planner.precision import GROW_AFTER, INVERSE, LEAST_SCALE, SCALE, SINCE, SKIPPED
from runtime.kernels import Array, pieces

Floats = npt.NDArray[np.float32]


def judge(g: Array, scaling: Floats) -> None:
    """Set ``scaling`` by whether all of ``g`` is finite: halve the scale, or double it in its turn.

    Parameters
    ----------
    g : float array, shape (E,)
        All gradients of a step, times the scale.
    scaling : float32 array, shape (4,), updated
        Places are named in ``planner.precision``.

    Notes
    -----
    Source: Micikevicius et al., ICLR 2018, section 3.2; factors and interval of PyTorch's
    ``GradScaler``.
    """
    scale, since = float(scaling[SCALE]), float(scaling[SINCE])
    # the sum of squares would overflow; of a maximum that is NaN or infinite something is
    good = all(np.isfinite(np.abs(part).max()) for (part,) in pieces(PIECE, g))
    scaling[INVERSE] = 1 / scale if good else 0
    scaling[SKIPPED] += not good
    grows = good and since + 1 >= GROW_AFTER
    scaling[SINCE] = since + 1 if good and not grows else 0
    scaling[SCALE] = scale * 2 if grows else scale if good else max(scale / 2, LEAST_SCALE)


def unscaled(g: Array, scaling: Floats, *kept: Array) -> Iterator[tuple[Array, ...]]:
    """Yield pieces: the gradient as wide as ``kept`` and without its scale, and those of ``kept``.

    Nothing of a step that is to be skipped.
    """
    inverse = float(scaling[INVERSE])
    if not inverse:
        return
    room = np.empty(min(PIECE, g.size), kept[0].dtype)
    for part, *rest in pieces(PIECE, g, *kept):
        d = room[: part.size]
        np.copyto(d, part)  # in halves the product would be lost
        np.multiply(d, inverse, out=d)
        yield d, *rest
