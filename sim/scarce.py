"""Which registers may lack slots: nobody ever waits for any other, so no engine follows those."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.blocks import Ids
from sim.taskgraph import TaskGraph

Bools = npt.NDArray[np.bool_]


def scarce_items(graph: TaskGraph) -> Bools:
    """(I,) whether an item is of a register that is written oftener than it has slots."""
    written = np.bincount(graph.out_idx, minlength=len(graph.register_slots))
    found: Bools = (written > graph.register_slots)[graph.out_idx]
    return found


def kept(ptr: Ids, idx: npt.NDArray[Any], some: Bools) -> tuple[Ids, Ids]:
    """Return the rows of a CSR pair without the entries that are not among ``some``, (entries,)."""
    if some.all():
        return ptr, idx
    before = np.zeros(len(idx) + 1, dtype=np.int32)
    np.cumsum(some, out=before[1:])
    return before[ptr], idx[some]
