"""Packing: registers that are never alive together share bytes.

A register is alive from the first to the last op of the passes that touches it, both included. What
the backward pass needs of the forward pass is alive across the pivot between them. It is stacked,
what is freed last at the bottom, so that the stack shrinks from its top as the backward pass goes
on, without a hole. What lives shortly is put above, the largest first, each at the lowest place
that is free all its life. Greedy by size: Pisarchyk and Lee, "Efficient memory management for deep
neural net inference", 2020, section 5.2.

Landing registers want the bytes that fall free, so a small register that outlives a large one
should lie below it. Where the largest first leaves too much, other orders are tried: first what is
alive when a gradient is ready, and long lives of the backward pass at the bottom of the stack.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """When registers are alive: positions in the order of the passes."""

    names: tuple[str, ...]
    first: Ints
    """(N,) position of the op that writes it first."""
    last: Ints
    """(N,) position of the last op that touches it."""
    pivot: int
    """Position between the passes; what is alive there is kept for the backward pass."""
    positions: int
    """Number of positions T."""


NEAR = 1.01
"""Times the least that is possible: a packing as good as this is taken."""


def pack(lives: Lives, size_bytes: Ints, landing_bytes: Ints | None = None) -> Ints:
    """Return the first byte of each register, shape (N,), so that no two alive at once overlap.

    ``landing_bytes``, shape (T + 1,), is what should find room above all that is in use from a
    position on; of several packings the one is taken in which all of it ends lowest.
    """
    above = np.zeros(lives.positions + 1, np.int64) if landing_bytes is None else landing_bytes
    held = np.append(alive(lives, size_bytes), 0)
    least = int((np.maximum.accumulate(held[::-1])[::-1] + above).max())
    best, lowest = np.zeros_like(size_bytes), -1
    for at in _packings(lives, size_bytes, np.flatnonzero(above)):
        end = int((tops(lives, at + size_bytes) + above).max())
        if lowest < 0 or end < lowest:
            best, lowest = at, end
        if lowest <= NEAR * least:
            break
    return best


def _packings(lives: Lives, size: Ints, ready: Ints) -> Iterator[Ints]:
    """Yield packings of the registers; something lands at the positions ``ready``."""
    first, last = lives.first, lives.last
    is_kept = (first <= lives.pivot) & (last >= lives.pivot)
    is_long = ~is_kept & (2 * (last - first) >= lives.positions - lives.pivot)
    outlives = np.searchsorted(ready, last, side="right") > np.searchsorted(
        ready, first, side="right"
    )
    for is_stacked in (is_kept, is_kept | is_long) if is_long.any() else (is_kept,):
        for before in (np.zeros_like(outlives), outlives):
            yield _packed(lives, size, is_stacked, before)


def _packed(
    lives: Lives, size: Ints, is_stacked: npt.NDArray[np.bool_], before: npt.NDArray[np.bool_]
) -> Ints:
    """Stack some registers and put the others above: those ``before`` others first."""
    first, last = lives.first, lives.last
    at = np.zeros_like(size)
    stack = np.zeros(lives.positions, dtype=np.int64)
    stacked, short = np.flatnonzero(is_stacked), np.flatnonzero(~is_stacked)
    height = 0
    for i in stacked[np.lexsort((first[stacked], -last[stacked]))].tolist():
        at[i] = height
        height += int(size[i])
        stack[first[i] : last[i] + 1] = height
    order = short[np.lexsort((first[short], -size[short], ~before[short]))]
    at[order] = _lowest(first[order], last[order], size[order], stack)
    return at


def _lowest(first: Ints, last: Ints, size: Ints, floor: Ints) -> Ints:
    """Put each in turn at the lowest place above ``floor`` that is free from first to last."""
    taken: list[list[tuple[int, int]]] = [[] for _ in floor]
    """By position: from where to where; most lives are a few positions long."""
    at, above = [], floor.tolist()
    for begin, end, bytes_needed in zip(
        first.tolist(), (last + 1).tolist(), size.tolist(), strict=True
    ):
        lowest = max(above[begin:end])
        for others_at, others_end in sorted({place for own in taken[begin:end] for place in own}):
            if others_at - lowest >= bytes_needed:
                break
            lowest = max(lowest, others_end)
        place = lowest, lowest + bytes_needed
        for own in taken[begin:end]:
            own.append(place)
        at.append(lowest)
    return np.array(at, dtype=np.int64)


def alive(lives: Lives, amount: Ints) -> Ints:
    """Return the sum of ``amount`` over what is alive at each position, shape (T,)."""
    change = np.zeros(lives.positions + 1, dtype=np.int64)
    np.add.at(change, lives.first, amount)
    np.add.at(change, lives.last + 1, -amount)
    return np.cumsum(change)[:-1]


def tops(lives: Lives, end_bytes: Ints) -> Ints:
    """Return the highest byte that is in use at a position or any later one, shape (T + 1,)."""
    highest = np.zeros(lives.positions + 1, dtype=np.int64)
    np.maximum.at(highest, lives.last, end_bytes)
    return np.maximum.accumulate(highest[::-1])[::-1]


def followed(lives: Lives, end_bytes: Ints) -> Ints:
    """Return what of one run of the passes each position of the next one follows, shape (T,).

    The next run lies in the same bytes, turned upside down: it grows from the top of what the one
    before uses, as that one shrinks. Its forward pass may so begin in the other's backward pass;
    what comes after its forward pass waits for all of it.
    """
    highest = tops(lives, end_bytes)
    needed = np.zeros(lives.positions, dtype=np.int64)
    np.maximum.at(needed, lives.first, end_bytes)
    left = highest[0] - np.maximum.accumulate(needed)
    # tops descend: the first of them that leaves enough is as many as lie above it
    over = lives.positions - np.searchsorted(highest[::-1], left, side="right")
    found: Ints = np.maximum(over, np.arange(lives.positions))
    found[lives.pivot :] = lives.positions - 1
    return found
