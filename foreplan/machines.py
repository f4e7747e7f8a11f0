"""From a cluster's name to a machine with op costs; ``local`` is priced from the op store."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwprofiles.calibration import Calibration
from hwprofiles.cluster import Cluster
from hwprofiles.clusters import cluster_facts, load_cluster, split_spec
from hwprofiles.costs import CostBook
from hwprofiles.errors import BackendUnavailable, ProfileError
from hwprofiles.fit import fit_curves
from hwprofiles.identity import Identity, probe_identity
from hwprofiles.keptfit import KeptFit
from hwprofiles.local import LocalFacts, local_cluster, local_facts
from hwprofiles.opstore import OpStore
from hwprofiles.units import KW
from planner.evidence import Evidence, Shift
from planner.fitted_links import fitted_links
from planner.machine import Machine, NodeRates
from planner.opcall import OpCall
from planner.published.fitted import DATASHEET, fitted_cluster
from runtime.backends import Backend, backend

if TYPE_CHECKING:
    from runtime.launch import Launch


LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """This machine: its facts, its store, and who its workers are."""

    facts: LocalFacts
    store: OpStore
    backend: Backend
    """Whose kernels its workers run."""

    @classmethod
    def here(cls, by: str = "numpy") -> "Local":
        """Return this machine with the store in ``$FOREPLAN_HOME`` and the backend called ``by``.

        Raises
        ------
        BackendUnavailable
            When there is no such backend, it is not installed, or it is none of the host.
        """
        chosen = backend(by)
        if not chosen.is_host:
            raise BackendUnavailable(
                f"cluster '{LOCAL}:{by}': expected a backend that computes on cores of this"
                " machine; plan on a cluster of such devices (`foreplan hw list`), run it with"
                f" `foreplan execute --backend {by}`, and measure its ops with `make gpu-check`"
            )
        store = OpStore.at_home(os.environ)
        return cls(facts=local_facts(), store=store, backend=chosen)

    @property
    def name(self) -> str:
        """Name of the cluster that it is."""
        return LOCAL if self.backend.name == "numpy" else f"{LOCAL}:{self.backend.name}"

    def identity(self, workers: int) -> Identity:
        """Return the identity of ``workers`` workers at once."""
        by = (self.backend.name, self.backend.library)
        return probe_identity(workers, self.backend.sources_sha256(), backend=by)

    def calibration(self, workers: int) -> Calibration | None:
        """Return what the store knows of ``workers`` workers, in today's context."""
        identity = self.identity(workers)
        found = self.store.calibration(identity.key)
        return found.in_context(dict(identity.context)) if found else None

    def machine(self, without: frozenset[str] = frozenset()) -> Machine:
        """Return ``local`` with every number of workers that is calibrated.

        ``without`` names op signatures to leave to the fitted curves.
        """
        clusters, books, identities = {}, {}, {}
        probe = self.identity(1)
        for workers in range(1, self.facts.physical_cores + 1):
            identity = replace(probe, lanes=workers)
            calibration = self.store.calibration(identity.key)
            if calibration is None or (workers > 1 and not calibration.transfers):
                continue
            calibration = calibration.in_context(dict(identity.context))
            kept = {s: op for s, op in calibration.ops.items() if s not in without}
            calibration = replace(calibration, ops=kept)
            fit = fit_curves if without else self._kept_fit(identity).curves
            cluster = local_cluster(workers, calibration, self.facts, fit)
            device = cluster.devices[0]
            clusters[workers] = cluster
            books[workers] = {device.name: CostBook(device=device, ops=kept)}
            identities[workers] = identity.to_dict()
        if not clusters:
            raise ProfileError(
                f"cluster {self.name!r}: no op is measured on this machine with these kernels and"
                f" this BLAS; run `{self.calibrating}`"
            )
        return Machine(name=self.name, clusters=clusters, cost_books=books, identities=identities)

    def _kept_fit(self, identity: Identity) -> KeptFit:
        """Return the curves of an identity, kept beside its ops."""
        return KeptFit(path=self.store.path.with_name(f"fit-{identity.key}.json"))

    @property
    def calibrating(self) -> str:
        """Command that measures it."""
        by = self.backend.name
        return "foreplan hw calibrate" + (f" --backend {by}" if by != "numpy" else "")

    def calibrate(
        self,
        calls: Mapping[str, OpCall],
        workers: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
        start: "Launch | None" = None,
        records: Path | None = None,
    ) -> Calibration:
        """Time ``calls`` on ``workers`` cores at once and keep the result in the store.

        Ops of an input pipeline are timed for the record file ``records``.
        """
        from runtime.calibrate import calibrate
        from runtime.launch import launch

        identity = self.identity(workers)
        cores = self.facts.cpus[:workers]
        calibration = calibrate(
            calls, identity, cores, progress=progress, start=start or launch, records=records
        )
        self.store.put(identity, calibration)
        if stored := self.store.calibration(identity.key):
            self._kept_fit(identity).curves(stored.ops.values())  # a plan need not wait for it
        return calibration


def local_backend(cluster: str) -> str | None:
    """Return the backend of this machine's cluster, None where ``cluster`` is another one.

    >>> local_backend("local"), local_backend("local:onednn"), local_backend("dgx-a100-80g:16")
    ('numpy', 'onednn', None)
    """
    name, colon, by = cluster.partition(":")
    if name != LOCAL:
        return None
    return by if colon else "numpy"


def load_machine(name: str, software: str = "", shifts: Sequence[Shift] = ()) -> Machine:
    """Return the machine called ``name``: ``local``, a shipped cluster, or a TOML file.

    With ``software`` its devices are as efficient as published runs of that were, shifted by runs
    of one's own, and its links as their transport stacks use them; else all is the datasheet's.
    ``local`` is measured, and shifted only.
    """
    if by := local_backend(name):
        return shifted_machine(Local.here(by).machine(), shifts)
    cluster, evidence = load_cluster(name), None
    if software:
        cluster, evidence = fitted_cluster(cluster, software, shifts)
        cluster, stacks = fitted_links(cluster)
        if stacks:
            known = evidence or Evidence()
            evidence = replace(known, system=split_spec(name)[0], stacks=stacks)
    books = {device.name: CostBook(device=device, ops={}) for device in cluster.devices}
    return Machine(
        name=name,
        clusters={0: cluster},
        cost_books={0: books},
        identities={},
        node=_node_rates(name, cluster),
        evidence=evidence,
    )


def informed_machine(name: str, software: str, calibrate: Path | None) -> Machine:
    """Return the machine called ``name``, as published runs of some software found its devices.

    ``calibrate`` names a file with runs of one's own; software ``datasheet`` asks for none.

    Raises
    ------
    ForeplanError
        When the machine or the software is unknown, or the file has no run that shifts it.
    """
    shifts: Sequence[Shift] = ()
    if calibrate:
        from planner.published.measured import read_shifts

        shifts = read_shifts(calibrate)
    machine = load_machine(name, "" if software == DATASHEET else software, shifts)
    if shifts and not (machine.evidence and machine.evidence.shifts):
        raise ProfileError(
            f"{calibrate}: expected a run of the software and devices that are planned for, got"
            f" {', '.join(shift.family for shift in shifts)}; name that software (--software), or"
            " leave the run out"
        )
    return machine


def shifted_machine(machine: Machine, shifts: Sequence[Shift]) -> Machine:
    """Return a measured machine on which all ops take as long as runs of its own say."""
    if not shifts:
        return machine
    from planner.published.measured import LOCAL_FAMILY

    own = tuple(shift for shift in shifts if shift.family == LOCAL_FAMILY)
    if not own:
        return machine
    factor = own[0].factor
    books = {
        workers: {name: book.slower(factor) for name, book in found.items()}
        for workers, found in machine.cost_books.items()
    }
    clusters = {
        workers: replace(
            cluster, devices=tuple(books[workers][d.name].device for d in cluster.devices)
        )
        for workers, cluster in machine.clusters.items()
    }
    return replace(machine, clusters=clusters, cost_books=books, evidence=Evidence(shifts=own))


def _node_rates(name: str, cluster: Cluster) -> NodeRates | None:
    """Return price and power of a node, where the file of the cluster has them."""
    facts = cluster_facts(name)
    if not facts.price and not facts.power:
        return None
    return NodeRates(
        devices=cluster.routing.node_devices or len(cluster.devices),
        usd_per_h=facts.price.usd_per_h if facts.price else None,
        watts=facts.power.node_kw * KW if facts.power else None,
    )


def data_folder(path: Path | None) -> Path:
    """Return the folder of record files: the one given, else ``data`` in ``$FOREPLAN_HOME``."""
    from hwprofiles.opstore import home_folder

    return path if path is not None else home_folder(os.environ) / "data"
