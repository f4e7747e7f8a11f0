"""Convolution as matmuls over tiles of gathered columns; sources in ``planner.layers.conv2d``.

Letters: C input and K output channels in G groups, n samples, H x W input, R x S kernel, P x Q
output. ``work`` is flat; it is absent for 1 x 1 kernels, whose columns are the maps themselves.
With ``bias=0`` neither ``b`` nor ``db`` is given. Keyword arguments are those of ``Geometry``.
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
    weights = w.reshape(len(w), -1)
    if not work:
        maps = y.reshape(len(y), -1)
        _dot(weights, x.reshape(len(x), -1), maps, g.groups)
        if b is not None:
            np.add(maps, b[:, None], out=maps)
        return
    for rows, columns, rest in _Tiles(x, w, y, g).gathered(work[0]):
        place = y[:, rows]
        part = rest[: place.size].reshape(len(y), -1)
        _dot(weights, columns, part, g.groups)
        if b is None:
            np.copyto(place, part.reshape(place.shape))
        else:
            np.add(part.reshape(place.shape), b[:, None, None, None], out=place)


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
    weights = dw.reshape(len(dw), -1)
    if not work:
        _dot_transposed(dy.reshape(len(dy), -1), x.reshape(len(x), -1), weights, g.groups)
        return
    for rows, columns, rest in _Tiles(x, dw, dy, g).gathered(work[0]):
        part = rest[: dw.size].reshape(weights.shape) if rows.start else weights
        gradient, _ = _matrix(dy[:, rows], rest[dw.size :])
        _dot_transposed(gradient, columns, part, g.groups)
        if rows.start:
            np.add(weights, part, out=weights)


def input_grad(dy: Array, w: Array, dx: Array, *work: Array, **how: int) -> None:
    """``dcols = w^T dy``, then every column is added where ``forward`` gathered it (col2im).

    Parameters
    ----------
    dy : float array, shape (K, P, Q, n)
    w : float array, shape (K, C / G, R, S)
    dx : float array, shape (C, H, W, n), written
    *work : float array
    """
    g = Geometry(**how)
    weights = w.reshape(len(w), -1)
    if not work:
        _dot_adjoint(weights, dy.reshape(len(dy), -1), dx.reshape(len(dx), -1), g.groups)
        return
    dx.fill(0)
    tiles = _Tiles(dx, w, dy, g)
    for rows in tiles.rows():
        gradient, rest = _matrix(dy[:, rows], work[0])
        shape = tiles.columns_shape(rows)
        columns = rest[: prod(shape)]
        _dot_adjoint(weights, gradient, columns.reshape(prod(shape[:3]), -1), g.groups)
        tiles.scatter(columns.reshape(shape), rows)


def _matrix(maps: Array, work: Array) -> tuple[Array, Array]:
    """Return maps as a matrix (K, places), copied into ``work`` if need be, and the rest of it."""
    if maps.flags.c_contiguous:
        return maps.reshape(len(maps), -1), work
    copy = work[: maps.size].reshape(maps.shape)
    np.copyto(copy, maps)
    return copy.reshape(len(maps), -1), work[maps.size :]


def _dot(weights: Array, columns: Array, out: Array, groups: int) -> None:
    """``out = weights columns``, each group of rows with its own columns."""
    for w, c, y in _by_group(groups, weights, columns, out):
        np.dot(w, c, out=y)


def _dot_transposed(dy: Array, columns: Array, out: Array, groups: int) -> None:
    """``out = dy columns^T``, group by group."""
    for d, c, w in _by_group(groups, dy, columns, out):
        np.dot(d, c.T, out=w)


def _dot_adjoint(weights: Array, dy: Array, out: Array, groups: int) -> None:
    """``out = weights^T dy``, group by group."""
    for w, d, c in _by_group(groups, weights, dy, out):
        np.dot(w.T, d, out=c)


def _by_group(groups: int, *matrices: Array) -> Iterator[tuple[Array, ...]]:
    """Cut the rows of every matrix into ``groups`` equal parts."""
    for i in range(groups):
        yield tuple(m[i * len(m) // groups : (i + 1) * len(m) // groups] for m in matrices)


@dataclass(frozen=True, slots=True)
class _Tiles:
    """One convolution cut along the output rows."""

    x: Array
    w: Array
    y: Array
    g: Geometry

    def rows(self) -> Iterator[slice]:
        """Yield the output rows of each tile."""
        high = self.y.shape[1]
        for first in range(0, high, self.g.tile):
            yield slice(first, min(high, first + self.g.tile))

    def columns_shape(self, rows: slice) -> tuple[int, ...]:
        """Shape (C, R, S, rows, Q, n) of the columns of a tile."""
        _, _, high, wide = self.w.shape
        return (len(self.x), high, wide, rows.stop - rows.start, *self.y.shape[2:])

    def gathered(self, work: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Yield rows, columns (C R S, rows Q n) and the rest of ``work``, tile by tile."""
        step = self.g.stride
        for rows in self.rows():
            shape = self.columns_shape(rows)
            columns = work[: prod(shape)]
            source, rest = self._source(rows, work[columns.size :])
            channel, row, column, sample = source.strides
            # Overlapping view: one strided copy beats R * S slice copies and sliding_window_view.
            windows = np.lib.stride_tricks.as_strided(
                source,
                shape,
                (channel, row, column, row * step, column * step, sample),
                writeable=False,
            )
            np.copyto(columns.reshape(shape), windows)
            yield rows, columns.reshape(prod(shape[:3]), -1), rest

    def _source(self, rows: slice, work: Array) -> tuple[Array, Array]:
        """Return the input rows of a tile, with zeros around them, and what is left of work."""
        g = self.g
        first = rows.start * g.stride - g.pad
        last = (rows.stop - 1) * g.stride - g.pad + self.w.shape[2]
        if not (g.pad or g.pad_w):
            return self.x[:, first:last], work
        channels, height, width, samples = self.x.shape
        shape = (channels, last - first, width + 2 * g.pad_w, samples)
        padded = work[: prod(shape)].reshape(shape)
        top, bottom = max(first, 0), min(last, height)
        padded[:, : top - first] = 0
        padded[:, bottom - first :] = 0
        padded[:, :, : g.pad_w] = 0
        padded[:, :, width + g.pad_w :] = 0
        inner = padded[:, top - first : bottom - first, g.pad_w : width + g.pad_w]
        np.copyto(inner, self.x[:, top:bottom])
        return padded, work[padded.size :]

    def scatter(self, columns: Array, rows: slice) -> None:
        """Add columns (C, R, S, rows, Q, n) to where they came from."""
        _, height, width, _ = self.x.shape
        _, high, wide, _, across, _ = columns.shape
        for i in range(high):
            p, h = inside(rows.start, rows.stop, i - self.g.pad, self.g.stride, height)
            p = slice(p.start - rows.start, p.stop - rows.start)
            for j in range(wide):
                q, v = inside(0, across, j - self.g.pad_w, self.g.stride, width)
                place = self.x[:, h, v]
                np.add(place, columns[:, i, j, p, q], out=place)
