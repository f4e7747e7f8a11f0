"""Convolution as matmuls over shifted rows; sources in ``planner.layers.conv2d``.

Letters: C input and K output channels in G groups, n samples, H x W input, R x S kernel, P x Q
output. Only the S shifts along a row are gathered: with the shifts of row after row side by side,
the columns of an output row lie in one piece that the next row's piece overlaps, so all R of them
are read where they are. ``work`` is flat; it is absent for 1 x 1 kernels, whose columns are the
maps themselves. With ``bias=0`` neither ``b`` nor ``db`` is given. Keyword arguments are those of
``Geometry``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from runtime.kernels import Array, inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What a convolution is told beside its arrays."""

    stride: int
    """Step of the kernel in both directions."""
    pad: int = 0
    """Rows of zeros above and below."""
    pad_w: int = 0
    """Columns of zeros at each side."""
    groups: int = 1
    tile: int = 0
    """Output rows at a time."""
    bias: int = 1


def forward(x: Array, w: Array, *arrays: Array, **how: int) -> None:
    """``y = w cols + b``.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    w : float array, shape (K, C / G, R, S)
    *arrays : float arrays
        ``b`` of shape (K,) with ``bias``; ``y`` of shape (K, P, Q, n), written; ``work``.
    """
    g = Geometry(**how)
    b, (y, *work) = (arrays[0], arrays[1:]) if g.bias else (None, arrays)
    split = _by_group(w, g)
    parts: Iterator[Array] = iter((y,))
    if work:
        parts = _correlate(x, split.transpose(0, 1, 3, 4, 2), y, work[0], g)
    else:
        np.matmul(split[..., 0, 0], _by_group(x, g, 1), out=_by_group(y, g, 1))
    for part in parts:
        if b is not None:
            np.add(part, b[:, None, None, None], out=part)


def weight_grad(x: Array, dy: Array, dw: Array, *arrays: Array, **how: int) -> None:
    """``dw = dy cols^T`` and ``db`` = sums of ``dy`` over samples and places.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    dy : float array, shape (K, P, Q, n)
    dw : float array, shape (K, C / G, R, S), written
    *arrays : float arrays
        ``db`` of shape (K,), written, with ``bias``; ``work``.
    """
    g = Geometry(**how)
    db, work = (arrays[0], arrays[1:]) if g.bias else (None, arrays)
    if db is not None:
        np.add.reduce(dy.reshape(len(dy), -1), axis=1, out=db)
    split = _by_group(dw, g)
    groups, maps, inputs, high, wide = split.shape
    if not work:
        turned = split[..., 0, 0].swapaxes(1, 2)
        np.matmul(_by_group(x, g, 1), _by_group(dy, g, 1).swapaxes(1, 2), out=turned)
        return
    # cols dy^T, for OpenBLAS is up to 1.7 times as fast that way as with dy cols^T
    total, rest = _take(work[0], (groups, high * wide * inputs, maps))
    part, rest = _take(rest, total.shape)
    gradient = dy.reshape(groups, maps, dy.shape[1], -1)
    for rows, columns in _columns(x, (high, wide), dy, rest, g):
        for i, row in enumerate(range(rows.start, rows.stop)):
            out = part if row else total
            np.matmul(columns[:, i], gradient[:, :, row].swapaxes(1, 2), out=out)
            if row:
                np.add(total, part, out=total)
    np.copyto(split, total.reshape(groups, high, wide, inputs, maps).transpose(0, 4, 3, 1, 2))


def input_grad(dy: Array, w: Array, dx: Array, *work: Array, **how: int) -> None:
    """``dx`` = ``dy`` convolved with the turned kernel, or ``w^T dy`` added to its places (col2im).

    The first where maps keep their size, so that no matmul is wasted on zeros.

    Parameters
    ----------
    dy : float array, shape (K, P, Q, n)
    w : float array, shape (K, C / G, R, S)
    dx : float array, shape (C, H, W, n), written
    *work : float array
    """
    g = Geometry(**how)
    split = _by_group(w, g)
    if not work:
        turned = split[..., 0, 0].swapaxes(1, 2)
        np.matmul(turned, _by_group(dy, g, 1), out=_by_group(dx, g, 1))
    elif g.stride == 1 and dy.shape[1:] == dx.shape[1:]:
        turned = split[..., ::-1, ::-1].transpose(0, 2, 3, 4, 1)
        for _ in _correlate(dy, turned, dx, work[0], g):
            pass
    else:
        _scatter(dy, split.transpose(0, 3, 4, 2, 1), dx, work[0], g)


def _by_group(array: Array, g: Geometry, flat: int = 0) -> Array:
    """View (M, ...) as (G, M / G, ...), or with ``flat`` as (G, M / G, all the rest)."""
    rest = (-1,) if flat else array.shape[1:]
    return array.reshape(g.groups, len(array) // g.groups, *rest)


def _take(work: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return an array of a shape at the beginning of workspace, and what is left."""
    size = prod(shape)
    return work[:size].reshape(shape), work[size:]


def _tiles(high: int, tile: int) -> Iterator[slice]:
    """Yield the rows of each tile."""
    for first in range(0, high, tile):
        yield slice(first, min(high, first + tile))


def _correlate(x: Array, w: Array, y: Array, work: Array, g: Geometry) -> Iterator[Array]:
    """Write ``y = w cols``, yielding each tile of rows as it is done.

    ``w`` is (G, K / G, R, S, C / G), a view in any order; it is copied into ``work``.
    """
    groups, maps, high, wide, _ = w.shape
    weights, rest = _take(work, w.shape)
    np.copyto(weights, w)
    kernel = weights.reshape(groups, 1, maps, -1)
    out = y.reshape(groups, maps, y.shape[1], -1).swapaxes(1, 2)
    for rows, columns in _columns(x, (high, wide), y, rest, g):
        np.matmul(kernel, columns, out=out[:, rows])
        yield y[:, rows]


def _columns(
    x: Array, kernel: tuple[int, int], y: Array, work: Array, g: Geometry
) -> Iterator[tuple[slice, Array]]:
    """Yield the rows of each tile of ``y`` and their columns, (G, rows, R S C / G, Q n).

    In ``work`` they are (G, rows of ``x``, S, C / G, Q, n), every row of ``x`` once.
    """
    source, (high, wide) = _by_group(x, g), kernel
    groups, inputs = source.shape[:2]
    row = prod(y.shape[2:])
    for rows in _tiles(y.shape[1], g.tile):
        count = rows.stop - rows.start
        deep = (count - 1) * g.stride + high
        shifted, _ = _take(work, (groups, deep, wide, inputs, *y.shape[2:]))
        _gather(source, shifted, rows.start * g.stride - g.pad, g)
        group, line, *_, item = shifted.strides
        columns = np.lib.stride_tricks.as_strided(
            shifted,
            (groups, count, high * wide * inputs, row),
            (group, line * g.stride, row * item, item),
            writeable=False,
        )
        yield rows, columns


def _gather(x: Array, shifted: Array, top: int, g: Geometry) -> None:
    """Copy rows of ``x`` (G, C / G, H, W, n) from row ``top`` on, once for each shift along a row.

    ``shifted`` is (G, rows, S, C / G, Q, n), written; what lies outside ``x`` is 0.
    """
    _, deep, wide, _, across, _ = shifted.shape
    a, h = inside(0, deep, top, 1, x.shape[2])
    shifted[:, : a.start] = 0
    shifted[:, a.stop :] = 0
    source = x[:, :, h].swapaxes(1, 2)
    for j in range(wide):
        q, v = inside(0, across, j - g.pad_w, g.stride, x.shape[3])
        place = shifted[:, a, j]
        if q.start:
            place[:, :, :, : q.start] = 0
        if q.stop < across:
            place[:, :, :, q.stop :] = 0
        np.copyto(place[:, :, :, q], source[:, :, :, v])


def _scatter(dy: Array, w: Array, dx: Array, work: Array, g: Geometry) -> None:
    """Add the columns ``w dy`` of every row to shifted rows, and those to ``dx``, which is written.

    ``w`` is (G, R, S, C / G, K / G), a view in any order; it is copied into ``work``.
    """
    groups, high, wide, inputs, maps = w.shape
    weights, rest = _take(work, w.shape)
    np.copyto(weights, w)
    kernel = weights.reshape(groups, -1, maps)
    gradient = dy.reshape(groups, maps, dy.shape[1], -1)
    part, rest = _take(rest, (groups, high, wide, inputs, *dy.shape[2:]))
    target = _by_group(dx, g)
    dx.fill(0)
    for rows in _tiles(dy.shape[1], g.tile):
        deep = (rows.stop - rows.start - 1) * g.stride + high
        shifted, _ = _take(rest, (groups, deep, *part.shape[2:]))
        shifted.fill(0)
        for i, row in enumerate(range(rows.start, rows.stop)):
            np.matmul(kernel, gradient[:, :, row], out=part.reshape(groups, kernel.shape[1], -1))
            place = shifted[:, i * g.stride : i * g.stride + high]
            np.add(place, part, out=place)
        a, h = inside(0, deep, rows.start * g.stride - g.pad, 1, dx.shape[1])
        for j in range(wide):
            q, v = inside(0, dy.shape[2], j - g.pad_w, g.stride, dx.shape[2])
            place = target[:, :, h, v]
            np.add(place, shifted[:, a, j, :, q].swapaxes(1, 2), out=place)
