"""Collectives as a communication library runs them."""

from hwprofiles.errors import PlanError
from planner.library_calls import LibraryCall, library_calls


def collective(
    operation: str,
    cluster: str,
    *,
    ranks: int | None = None,
    first_bytes: int = 1024,
    last_bytes: int = 2**30,
    step: int = 4,
    policy: str = "best",
) -> list[LibraryCall]:
    """Predict a collective by size, with constants that are fitted to published rows.

    Parameters
    ----------
    operation : str
        ``all_reduce``, ``all_gather``, ``reduce_scatter``, ``broadcast``, ``reduce``,
        ``all_to_all`` or ``send_receive``.
    cluster : str
        A cluster with its nodes, e.g. ``dgx-h100:2``.
    ranks : int, optional
        Spread evenly over the nodes; without it all devices.
    first_bytes, last_bytes, step : int
        The array on one rank: from the first size, each ``step`` times the one before.
    policy : str
        ``best`` (the cheapest way) or ``nccl`` (the way that this library's tuning chooses).

    Raises
    ------
    PlanError, ProfileError
        What cannot be, in one sentence.
    """
    if not 1 <= first_bytes <= last_bytes or step < 2:
        raise PlanError(
            f"bytes: expected a size and then one that is no smaller, got {first_bytes} B to"
            f" {last_bytes} B, times {step} at a step; give FIRST:LAST"
        )
    sizes = [first_bytes]
    while sizes[-1] * step <= last_bytes:
        sizes.append(sizes[-1] * step)
    return library_calls(operation, cluster, ranks, sizes, policy)
