"""What of a unit's peak the shape of a matrix product leaves: tiles, waves and transforms.

A kernel computes the product in tiles, one a core at a time. Tiles that reach over its edge are
computed whole; the last wave leaves cores idle; small tiles read more for each multiply-add. Where
there are too few tiles for all cores, the depth is split among several (split-K). Convolutions with
larger filters are products too (implicit GEMM: Chetlur et al., cuDNN, 2014), and on vector units
mostly transformed ones (Winograd: Lavin and Gray, CVPR 2016; FFT): far fewer multiply-adds, for
transforms whose cost does not fall with the channels that share them. Nothing here is fitted.
"""

from functools import cache
from math import ceil, prod
from typing import NamedTuple

TILES = ((128, 128), (128, 64), (64, 64), (32, 32))
"""Rows and columns of the tiles that libraries have kernels for, either way round."""
HALF_REUSE = 32
"""Multiply-adds for each element read at which a tile reaches half of the peak."""
WAVES = 4
"""Waves that a split makes at most; more parts would only be added up."""
LEAST_DEPTH = 256
"""Least depth of a part of a split product."""
TRANSFORMED = ("conv_3x3", "conv_large", "conv_strip")
"""Classes of work whose products vector units compute transformed."""
TRANSFORM_CHANNELS = 50
"""Channels at which the transforms of a product take as long as its multiply-adds."""

Product = tuple[int, int, int]
"""Rows, columns and depth of a product of matrices."""


class Chain(NamedTuple):
    """Equal products of which each waits for the one before, as from token to token of an LSTM."""

    sides: Product
    steps: int
    """How many; each is a kernel of its own."""


def product(phase: str, rows: int, inputs: int, outputs: int) -> Product:
    """Return the product of a phase of a layer that turns rows of ``inputs`` into ``outputs``.

    >>> product("weight_grad", 4096, 1024, 512)
    (1024, 512, 4096)
    """
    if phase == "weight_grad":
        return (inputs, outputs, rows)
    return (rows, outputs, inputs) if phase == "forward" else (rows, inputs, outputs)


@cache
def tiled_frac(sides: Product, cores: int) -> float:
    """Return the share of the peak that the best tile leaves on so many cores.

    >>> round(tiled_frac((12800, 128, 1024), 100), 3)
    0.667
    """
    rows, columns, depth = sides
    both = {(a, b) for pair in TILES for a, b in (pair, pair[::-1])}
    return max(_of_tile(rows, columns, depth, cores, *tile) for tile in both)


def chained_frac(sides: Product, chain: Chain, cores: int) -> float:
    """Return the share of the peak that a product and a chain leave together.

    >>> round(chained_frac((3200, 4096, 1024), Chain((64, 4096, 1024), 49), 80), 3)
    0.543
    """
    whole, small = prod(sides), prod(chain.sides) * chain.steps
    taken = whole / tiled_frac(sides, cores) + small / tiled_frac(chain.sides, cores)
    return (whole + small) / taken


def _of_tile(rows: int, columns: int, depth: int, cores: int, high: int, wide: int) -> float:
    tiles = ceil(rows / high) * ceil(columns / wide)
    inside = rows * columns / (tiles * high * wide)
    parts = max(1, min(depth // LEAST_DEPTH, ceil(WAVES * cores / tiles)))
    jobs = tiles * parts
    reuse = high * wide / (high + wide)
    return inside * jobs / (ceil(jobs / cores) * cores) * reuse / (reuse + HALF_REUSE)


def transformed_frac(work_class: str, channels: int) -> float:
    """Return the share that transforms leave, 1 where nothing is transformed.

    ``channels`` are the smaller side of the convolution; 0: they do not matter.

    >>> transformed_frac("conv_3x3", 50), transformed_frac("linear", 50)
    (0.5, 1.0)
    """
    if work_class not in TRANSFORMED or not channels:
        return 1.0
    return channels / (channels + TRANSFORM_CHANNELS)
