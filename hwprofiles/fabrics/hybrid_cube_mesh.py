"""Hybrid cube mesh of the DGX-1: two quads of GPUs, each fully joined, and GPU i to i + 4.

Source: NVIDIA/nccl issue 671 gives the rows of GPU 0 and 1 of the V100's, the rest is recalled.
Boards number their GPUs differently: read yours, do not assume it.
"""

from collections.abc import Iterator

from hwprofiles.fabrics.base import Wire, check
from hwprofiles.facts import Text

PAIRS = (
    *((a, b) for first in (0, 4) for a in range(first, first + 4) for b in range(a + 1, first + 4)),
    *((gpu, gpu + 4) for gpu in range(4)),
)
"""The 16 pairs with a link: four links a GPU, all that a P100 has."""
DOUBLED = ((0, 3), (0, 4), (1, 2), (1, 5), (2, 3), (4, 7), (5, 6), (6, 7))
"""The pairs that the fifth and sixth link of a V100 make twice as wide: two a GPU."""
GPUS = 8


def build(ends: int, *, link: Text, double_link: Text | None = None) -> Iterator[Wire]:
    """Return the 16 wires; with ``double_link`` (V100) eight of them are that.

    Every GPU has three peers that it has no link to; transfers to them go through the host.
    """
    check(ends == GPUS, f"builder: expected {GPUS} devices, got {ends}")
    return (
        Wire(a, b, double_link if double_link and (a, b) in DOUBLED else link) for a, b in PAIRS
    )
