"""Rows of maps as a direct convolution reads them: copied once, with their border of zeros."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from runtime.kernels import Array, inside
from runtime.kernels._direct import Table
from runtime.kernels._vectors import lanes


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows of C maps of n samples in workspace, (rows, C, pitch).

    A row of a map is its columns, n elements each: of a convolution with a stride those of one
    remainder side by side, so that neighbours in the output read neighbours.
    """

    room: Array
    """Flat; what is read after the last row is 0."""
    channels: int
    samples: int
    first: int
    """Column of the maps that is packed first; below 0 it is border."""
    stride: int
    counts: tuple[int, ...]
    """Columns of each remainder."""
    pitch: int

    @classmethod
    def of(
        cls,
        maps: Array,
        work: Array,
        deep: tuple[int, int],
        first: int,
        out: int,
        wide: int = 1,
        stride: int = 1,
    ) -> "Packed":
        """Return room for rows of which ``out`` places each read ``wide`` columns.

        The fewest rows of ``deep`` must fit; no more than the most are ever packed, and they lie at
        the end of the workspace, so that all of it is seen to be there. Where the fewest do with a
        vector between two rows, there is one: rows of a power of two would fall on the same lines
        of a cache (512 maps of 14 x 14 at 32 samples took twice as long).
        """
        channels, samples, spare = len(maps), maps.shape[3], lanes(maps.dtype)
        counts = tuple(out + (wide - 1 - i) // stride for i in range(min(wide, stride)))
        pitch = sum(counts) * samples
        if deep[0] * channels * (pitch + spare) + spare <= work.size:
            pitch += spare
        used = min(work.size, deep[1] * channels * pitch + spare)
        return cls(work[work.size - used :], channels, samples, first, stride, counts, pitch)

    @property
    def line(self) -> int:
        """Elements of a row of all maps."""
        return self.channels * self.pitch

    @property
    def deep(self) -> int:
        """Rows that fit."""
        return (self.room.size - lanes(self.room.dtype)) // self.line

    def taps(self, high: int, wide: int) -> Table:
        """Return where taps read from what place (0, 0) reads first, row by row."""
        starts = [0, *accumulate(self.counts)]
        columns = [starts[j % self.stride] + j // self.stride for j in range(wide)]
        table: Table = np.add.outer(np.arange(high) * self.line, np.array(columns) * self.samples)
        return table.reshape(-1)

    def fill(self, maps: Array, top: int, deep: int) -> None:
        """Pack ``deep`` rows of ``maps`` (C, H, W, n) from row ``top`` on."""
        rows = self.room[: deep * self.line].reshape(deep, self.channels, self.pitch)
        self.room[rows.size : rows.size + lanes(maps.dtype)] = 0
        a, h = inside(0, deep, top, 1, maps.shape[1])
        rows[: a.start] = 0
        rows[a.stop :] = 0
        rows[a, :, sum(self.counts) * self.samples :] = 0
        source, at = maps[:, h].swapaxes(0, 1), 0
        for i, count in enumerate(self.counts):
            q, v = inside(0, count, self.first + i, self.stride, maps.shape[2])
            end = at + count * self.samples
            place = rows[a, :, at:end].reshape(-1, self.channels, count, self.samples)
            place[:, :, : q.start] = 0
            place[:, :, q.stop :] = 0
            np.copyto(place[:, :, q], source[:, :, v])
            at = end


def tiles(height: int, rows: int) -> Iterator[range]:
    """Yield the rows of each tile of at most ``rows``."""
    for first in range(0, height, rows):
        yield range(first, min(height, first + rows))


def remainders(places: range, pad: int, stride: int) -> Iterator[tuple[range, int]]:
    """Yield the places that taps ``i``, ``i + stride``, ... reach, and ``i``.

    >>> list(remainders(range(5), 1, 2))
    [(range(1, 5, 2), 0), (range(0, 5, 2), 1)]
    """
    for i in range(stride):
        reached = range(places.start + (i - pad - places.start) % stride, places.stop, stride)
        if reached:
            yield reached, i
