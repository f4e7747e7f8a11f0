"""Convolution, direct; sources in ``planner.layers.conv2d``.

Letters: C input and K output channels in G groups, n samples, H x W input, R x S kernel, P x Q
output. As many rows as ``work`` holds are packed at a time, and every tap of the kernel reads them
at an offset of its own (``_packed``, ``_direct``). ``work`` is flat; it is absent for 1 x 1
kernels, which are matmuls of the maps as they lie. With ``bias=0`` neither ``b`` nor ``db`` is
given. Keyword arguments are those of ``Geometry``.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from runtime.kernels import Array
from runtime.kernels._direct import Contraction, Sweep, contract, correlate
from runtime.kernels._packed import Packed, remainders, tiles


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
    """Output rows whose S shifts the workspace holds; packed once, more of them fit."""
    bias: int = 1


def forward(x: Array, w: Array, *arrays: Array, **how: int) -> None:
    """``y`` = ``b`` + sums over taps and channels of ``w x``.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    w : float array, shape (K, C / G, R, S)
    *arrays : float arrays
        ``b`` of shape (K,) with ``bias``; ``y`` of shape (K, P, Q, n), written; ``work``.
    """
    g = Geometry(**how)
    b, (y, *work) = (arrays[0], arrays[1:]) if g.bias else (None, arrays)
    if not work:
        np.matmul(_by_group(w, g)[..., 0, 0], _by_group(x, g, 1), out=_by_group(y, g, 1))
        if b is not None:
            np.add(y, b[:, None, None, None], out=y)
        return
    maps, channels, high, wide = w.shape
    biases = np.zeros(maps, w.dtype) if b is None else b
    deep = high, (y.shape[1] - 1) * g.stride + high
    packed = Packed.of(x, work[0], deep, -g.pad_w, y.shape[2], wide, g.stride)
    taps = packed.taps(high, wide)
    for rows in tiles(y.shape[1], (packed.deep - high) // g.stride + 1):
        packed.fill(x, rows.start * g.stride - g.pad, (len(rows) - 1) * g.stride + high)
        sweep = Sweep(
            groups=g.groups,
            maps=maps // g.groups,
            channels=channels,
            rows=len(rows),
            parts=1,
            run=prod(y.shape[2:]),
            x_row=g.stride * packed.line,
            x_part=0,
            x_channel=packed.pitch,
            y_first=rows.start * prod(y.shape[2:]),
            y_map=prod(y.shape[1:]),
            y_row=prod(y.shape[2:]),
            y_part=0,
            w_group=w.size // g.groups,
            w_map=prod(w.shape[1:]),
            w_channel=high * wide,
        )
        correlate(packed.room, w, biases, y, taps, np.arange(len(taps)), sweep)


def weight_grad(x: Array, dy: Array, dw: Array, *arrays: Array, **how: int) -> None:
    """``dw`` = sums over samples and places of ``dy x``, ``db`` = sums of ``dy``.

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
    if not work:
        turned = _by_group(dw, g)[..., 0, 0].swapaxes(1, 2)
        np.matmul(_by_group(x, g, 1), _by_group(dy, g, 1).swapaxes(1, 2), out=turned)
        return
    maps, channels, high, wide = dw.shape
    deep = high, (dy.shape[1] - 1) * g.stride + high
    packed = Packed.of(x, work[0], deep, -g.pad_w, dy.shape[2], wide, g.stride)
    taps = np.add.outer(np.arange(channels) * packed.pitch, packed.taps(high, wide))
    dw.fill(0)
    for rows in tiles(dy.shape[1], (packed.deep - high) // g.stride + 1):
        packed.fill(x, rows.start * g.stride - g.pad, (len(rows) - 1) * g.stride + high)
        contraction = Contraction(
            groups=g.groups,
            maps=maps // g.groups,
            rows=len(rows),
            run=prod(dy.shape[2:]),
            x_group=channels * packed.pitch,
            x_row=g.stride * packed.line,
            y_first=rows.start * prod(dy.shape[2:]),
            y_map=prod(dy.shape[1:]),
        )
        contract(packed.room, dy, dw, taps, contraction)


def input_grad(dy: Array, w: Array, dx: Array, *work: Array, **how: int) -> None:
    """``dx`` = ``dy`` convolved with the turned kernel.

    With a stride, only taps of one remainder reach a place: each pair of remainders is a
    convolution of its own.

    Parameters
    ----------
    dy : float array, shape (K, P, Q, n)
    w : float array, shape (K, C / G, R, S)
    dx : float array, shape (C, H, W, n), written
    *work : float array
    """
    g = Geometry(**how)
    if not work:
        turned = _by_group(w, g)[..., 0, 0].swapaxes(1, 2)
        np.matmul(turned, _by_group(dy, g, 1), out=_by_group(dx, g, 1))
        return
    (_, height, width, samples), (high, wide) = dx.shape, w.shape[2:]
    above, before = (high - 1) // g.stride, (wide - 1) // g.stride
    left = g.pad_w // g.stride - before
    columns = (width - 1 + g.pad_w) // g.stride - left + 1
    # as the maps of dx read them: side by side
    turned = work[0][: w.size].reshape(g.groups, w.shape[1], -1, high, wide)
    np.copyto(turned, _by_group(w, g).swapaxes(1, 2))
    deep = above + 1, (height - 1 + g.pad) // g.stride - g.pad // g.stride + above + 1
    packed = Packed.of(dy, work[0][w.size :], deep, left, columns)
    nothing = np.zeros(len(dx), dx.dtype)
    for rows in tiles(height, (packed.deep - above - 1) * g.stride + 1):
        top = (rows.start + g.pad) // g.stride - above
        packed.fill(dy, top, (rows.stop - 1 + g.pad) // g.stride - top + 1)
        for h, i in remainders(rows, g.pad, g.stride):
            for v, j in remainders(range(width), g.pad_w, g.stride):
                i_taps, j_taps = np.arange(i, high, g.stride), np.arange(j, wide, g.stride)
                lines = (h.start + g.pad) // g.stride - top - i_taps // g.stride
                places = (v.start + g.pad_w) // g.stride - left - j_taps // g.stride
                sweep = Sweep(
                    groups=g.groups,
                    maps=w.shape[1],
                    channels=len(dy) // g.groups,
                    rows=len(h),
                    parts=1 if g.stride == 1 else len(v),
                    run=samples * (len(v) if g.stride == 1 else 1),
                    x_row=packed.line,
                    x_part=samples,
                    x_channel=packed.pitch,
                    y_first=(h.start * width + v.start) * samples,
                    y_map=height * width * samples,
                    y_row=g.stride * width * samples,
                    y_part=g.stride * samples,
                    w_group=w.size // g.groups,
                    w_map=prod(turned.shape[2:]),
                    w_channel=high * wide,
                )
                x_taps = np.add.outer(lines * packed.line, places * samples)
                w_taps = np.add.outer(i_taps * wide, j_taps)
                correlate(packed.room, turned, nothing, dx, x_taps, w_taps, sweep)


def _by_group(array: Array, g: Geometry, flat: int = 0) -> Array:
    """View (M, ...) as (G, M / G, ...), or with ``flat`` as (G, M / G, all the rest)."""
    rest = (-1,) if flat else array.shape[1:]
    return array.reshape(g.groups, len(array) // g.groups, *rest)
