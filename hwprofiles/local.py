"""The machine at hand: what it has, and the cluster its cores make."""

import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.calibration import Calibration, OpSample
from hwprofiles.cluster import Cluster
from hwprofiles.device import Device, OpCurve
from hwprofiles.errors import ProfileError
from hwprofiles.fit import fit_curves
from hwprofiles.identity import cpu_model
from hwprofiles.link import Link

TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFacts:
    """The part of this machine that this process may use."""

    cpu_model: str
    cpus: tuple[int, ...]
    """Logical CPUs, one of every physical core first: the order to pin workers in."""
    physical_cores: int
    memory_bytes: int
    """Memory of the machine, whoever else uses it."""

    @property
    def logical_cores(self) -> int:
        """Logical CPUs this process may run on."""
        return len(self.cpus)


def local_facts() -> LocalFacts:
    """Return what this process may use; affinity counts where the system has it."""
    import psutil

    if hasattr(os, "sched_getaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
    else:
        allowed = list(range(os.cpu_count() or 1))
    first: dict[str, int] = {}
    for cpu in allowed:
        first.setdefault(_core_of(cpu), cpu)
    ones = list(first.values())
    if platform.system() != "Linux":
        ones = ones[: psutil.cpu_count(logical=False) or len(ones)]
    return LocalFacts(
        cpu_model=cpu_model(),
        cpus=(*ones, *(cpu for cpu in allowed if cpu not in ones)),
        physical_cores=len(ones),
        memory_bytes=int(psutil.virtual_memory().total),
    )


def _core_of(cpu: int) -> str:
    """Return a name shared by the logical CPUs of one physical core."""
    try:
        return (TOPOLOGY / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


Fit = Callable[[Iterable[OpSample]], dict[str, OpCurve]]
"""From measured ops to the curve of each class."""


def local_cluster(
    workers: int, calibration: Calibration, facts: LocalFacts, fit: Fit = fit_curves
) -> Cluster:
    """Return ``workers`` cores of this machine, each joined to each by the measured link.

    Parameters
    ----------
    workers : int
        Cores in use; the calibration must have been taken with as many lanes.
    calibration : Calibration
        Measured ops and, for two workers or more, transfers.
    facts : LocalFacts
        From :func:`local_facts`.
    fit : callable
        Returns what ``fit_curves`` does.

    Raises
    ------
    ProfileError
        More workers than cores, no measured op, or no measured transfer where one is needed.

    Notes
    -----
    ASSUMES: all cores are equal and share memory evenly; a transfer between any two is the same
    copy. That several lanes slow each other is inside the measured times.
    """
    if not 1 <= workers <= facts.logical_cores:
        raise ProfileError(
            f"cluster 'local': expected 1 to {facts.logical_cores} workers on"
            f" {facts.logical_cores} cores, got {workers}"
        )
    if not calibration.ops:
        raise ProfileError("cluster 'local': no op is measured on this machine; calibrate it first")
    edges: list[tuple[int | str, int | str, Link]] = []
    if workers > 1:
        source = f"measured between two of {workers} lanes"
        link = Link.from_samples("local-copy", calibration.transfer_points, source=source)
        ranks = range(workers)
        edges = [(src, dst, link) for src in ranks for dst in ranks if src != dst]
    device = _core(workers, calibration, facts, fit)
    return Cluster.from_edges("local", [device] * workers, edges, source="this machine, measured")


def _core(workers: int, calibration: Calibration, facts: LocalFacts, fit: Fit) -> Device:
    """Return one core: curves fitted to the ops, peaks the best rates that any op reached."""
    ops = calibration.ops.values()
    return Device(
        name=f"{facts.cpu_model} core",
        kind="cpu",
        memory_bytes=facts.memory_bytes // workers,
        memory_bytes_per_s=max(op.moved_bytes / op.median_s for op in ops),
        peak_flop_per_s=_best_flop_per_s(ops),
        launch_overhead_s=calibration.scalars.get("launch_overhead_s", 0.0),
        transfers_hold_compute=True,
        source=f"best rates of {len(ops)} measured ops, {workers} lanes at once",
        curves=fit(ops),
    )


def _best_flop_per_s(ops: Iterable[OpSample]) -> dict[str, float]:
    best: dict[str, float] = {}
    for op in ops:
        if op.flop:
            best[op.dtype] = max(best.get(op.dtype, 0.0), op.flop / op.median_s)
    return dict(sorted(best.items()))
