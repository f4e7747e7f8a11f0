"""Direct convolution of packed rows, compiled; the batch lies innermost, so vectors run along it.

A block of sums stays in registers (``_vectors``): of some maps by some vectors of a row of ``y``
(``correlate``), or of some maps by some weights, lane by lane (``contract``). All arrays are taken
as flat; where things lie in them, in elements, is told by tables and steps.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array, _vectors
from runtime.kernels._vectors import MAPS, MAPS_BY_WEIGHTS, VECTORS, DType, lanes
from sim.arrays.compiled import cached, compiled, type_of, with_parts

Table = npt.NDArray[np.int64]
BLOCKS = (Path(_vectors.__file__),)
"""Code that is compiled into that of this file."""

PIECE = 2048
"""Elements of a map's gradient that ``contract`` takes at a time: four such stay in the nearest
cache. On a core of a Sapphire Rapids Xeon 768, 1,536, 2,048 and 3,072 gave 88, 92, 108 and 107
GFLOP/s at 64 maps of 56 x 56."""


class Sweep(NamedTuple):
    """A sweep of ``correlate``: counts, then steps in elements."""

    groups: int
    maps: int
    """Of a group, as ``channels``."""
    channels: int
    rows: int
    parts: int
    """Pieces of a row of ``y`` that lie apart."""
    run: int
    """Elements of a piece."""
    x_row: int
    """From what a row of ``y`` reads to what the next one reads, as ``x_part``."""
    x_part: int
    x_channel: int
    y_first: int
    y_map: int
    y_row: int
    y_part: int
    w_group: int
    w_map: int
    w_channel: int


class Contraction(NamedTuple):
    """A sweep of ``contract``: counts, then steps in elements."""

    groups: int
    maps: int
    """Of a group."""
    rows: int
    run: int
    """Elements of a row of ``dy``."""
    x_group: int
    x_row: int
    """From what a row of ``dy`` met to what the next one did."""
    y_first: int
    y_map: int


def correlate(
    x: Array, w: Array, b: Array, y: Array, x_taps: Table, w_taps: Table, sweep: Sweep
) -> None:
    """``y`` = ``b`` + sums over channels and taps of ``w x``.

    Parameters
    ----------
    x : float array
        As ``x_taps`` and the steps say, and ``lanes`` elements more where ``run`` is below that.
    w : float array
    b : float array
        One number for each map of all groups.
    y : float array, written
    x_taps, w_taps : int64 arrays, one number a tap
        Where what a tap reads lies, and its weight.
    sweep : Sweep
    """
    few = lanes(y.dtype)
    room = np.empty(sweep.maps * few if sweep.run < few else 0, y.dtype)
    arrays = (array.reshape(-1) for array in (x, w, b, y, x_taps, w_taps))
    _correlator(y.dtype)(*arrays, room, sweep)


def contract(x: Array, dy: Array, dw: Array, taps: Table, contraction: Contraction) -> None:
    """Add to ``dw`` the sums over places of ``dy x``.

    Parameters
    ----------
    x : float array
        Finite, with ``lanes`` elements more than are met.
    dy : float array
    dw : float array, of as many weights a map as there are ``taps``
    taps : int64 array
        Where what a weight of a map meets lies, its channel included.
    contraction : Contraction
    """
    maps, weights = MAPS_BY_WEIGHTS
    room = np.empty((maps, PIECE), dy.dtype)
    sums = np.empty(maps * weights + lanes(dy.dtype), dy.dtype)
    arrays = (array.reshape(-1) for array in (x, dy, dw, taps, room, sums))
    _contractor(dy.dtype)(*arrays, contraction)


@cache
def _correlator(dtype: DType) -> Callable[..., None]:
    """Return ``_correlate`` compiled for a dtype."""
    strips = {
        name: compiled(
            with_parts(
                _strip,
                MANY=MAPS,
                _many=_vectors.sums(dtype, MAPS, vectors),
                _two=_vectors.sums(dtype, 2, vectors),
                _one=_vectors.sums(dtype, 1, vectors),
            )
        )
        for name, vectors in (("_wide", VECTORS), ("_narrow", 1))
    }
    flat, table = type_of(np.empty(1, dtype)), type_of(np.empty(1, np.int64))
    arrays = (flat, flat, flat, flat, table, table, flat)
    sweep = type_of(Sweep(*[1] * len(Sweep._fields)))
    parts = with_parts(_correlate, LANES=lanes(dtype), WIDE=VECTORS * lanes(dtype), **strips)
    return cached(*arrays, sweep, of=BLOCKS)(parts)


@cache
def _contractor(dtype: DType) -> Callable[..., None]:
    """Return ``_contract`` compiled for a dtype."""
    flat, table = type_of(np.empty(1, dtype)), type_of(np.empty(1, np.int64))
    how = type_of(Contraction(*[1] * len(Contraction._fields)))
    maps, weights = MAPS_BY_WEIGHTS
    products = _vectors.products(dtype, maps, weights)
    lay = compiled(with_parts(_lay, M=maps))
    parts = with_parts(
        _contract, LANES=lanes(dtype), M=maps, N=weights, _products=products, _lay=lay
    )
    return cached(flat, flat, flat, table, flat, flat, how, of=BLOCKS)(parts)


LANES = WIDE = MANY = M = N = 0
_wide = _narrow = _many = _two = _one = _products = cast("Any", None)
"""Named by the code below, which is compiled with others in their place."""


def _correlate(  # noqa: PLR0913
    x: Array, w: Array, b: Array, y: Array, x_taps: Table, w_taps: Table, room: Array, s: Sweep
) -> None:
    """Write every piece of every row, strip by strip; the last strip may overlap the one before."""
    for g in range(s.groups):
        for p in range(s.rows):
            for a in range(s.parts):
                xs = g * s.channels * s.x_channel + p * s.x_row + a * s.x_part
                ys = s.y_first + g * s.maps * s.y_map + p * s.y_row + a * s.y_part
                v = 0
                while v + WIDE <= s.run:
                    _wide(x, xs + v, w, b, g, y, ys + v, s.y_map, x_taps, w_taps, s)
                    v += WIDE
                while v < s.run and s.run >= LANES:
                    v = min(v, s.run - LANES)
                    _narrow(x, xs + v, w, b, g, y, ys + v, s.y_map, x_taps, w_taps, s)
                    v += LANES
                if s.run < LANES:
                    _narrow(x, xs, w, b, g, room, 0, LANES, x_taps, w_taps, s)
                    for k in range(s.maps):
                        for v in range(s.run):
                            y[ys + k * s.y_map + v] = room[k * LANES + v]


def _strip(  # noqa: PLR0913
    x: Array,
    xs: int,
    w: Array,
    b: Array,
    g: int,
    y: Array,
    ys: int,
    y_map: int,
    x_taps: Table,
    w_taps: Table,
    s: Sweep,
) -> None:
    """Write a strip of all maps of a group, as many at a time as there are sums for."""
    ws, bs, k = g * s.w_group, g * s.maps, 0
    how = (s.channels, s.x_channel, s.w_channel, len(x_taps))
    while k + MANY <= s.maps:
        at = (xs, ws + k * s.w_map, bs + k, ys + k * y_map)
        _many(x, w, b, y, x_taps, w_taps, at, how, (s.w_map, y_map))
        k += MANY
    while k + 2 <= s.maps:
        at = (xs, ws + k * s.w_map, bs + k, ys + k * y_map)
        _two(x, w, b, y, x_taps, w_taps, at, how, (s.w_map, y_map))
        k += 2
    if k < s.maps:
        at = (xs, ws + k * s.w_map, bs + k, ys + k * y_map)
        _one(x, w, b, y, x_taps, w_taps, at, how, (s.w_map, y_map))


def _contract(
    x: Array, dy: Array, dw: Array, taps: Table, room: Array, sums: Array, c: Contraction
) -> None:
    """Take a piece of some maps' gradients at a time, laid side by side, zeros after each row."""
    vectors = (c.run + LANES - 1) // LANES
    pieces = (vectors * LANES + PIECE - 1) // PIECE
    most = (vectors + pieces - 1) // pieces * LANES
    together = max(1, PIECE // most) if pieces == 1 else 1
    for g in range(c.groups):
        for p in range(0, c.rows, together):
            rows = min(together, c.rows - p)
            for v in range(0, c.run, most):
                wide = min(most, vectors * LANES - v)
                xs = g * c.x_group + p * c.x_row + v
                for k in range(0, c.maps, M):
                    maps = min(M, c.maps - k)
                    ys = c.y_first + (g * c.maps + k) * c.y_map + p * c.run + v
                    _lay(dy, ys, c.y_map, c.run, room, (maps, rows, min(wide, c.run - v), wide))
                    for m in range(0, len(taps), N):
                        _products(
                            x,
                            room,
                            taps,
                            sums,
                            (xs, m, len(taps) - 1, c.x_row),
                            (rows, wide // LANES),
                        )
                        for i in range(maps):
                            for j in range(min(N, len(taps) - m)):
                                dw[(g * c.maps + k + i) * len(taps) + m + j] += sums[i * N + j]


def _lay(
    dy: Array, ys: int, y_map: int, y_row: int, room: Array, counts: tuple[int, int, int, int]
) -> None:
    """Copy rows of maps to ``room``, (M, rows, wide), with zeros where there are none."""
    maps, rows, used, wide = counts
    for i in range(M):
        for r in range(rows):
            to, at = (i * rows + r) * wide, ys + i * y_map + r * y_row
            some = used if i < maps else 0
            line, given = room[to : to + wide], dy[at : at + some]
            for e in range(some):
                line[e] = given[e]
            for e in range(some, wide):
                line[e] = 0
