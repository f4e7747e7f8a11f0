"""Files between commands: frozen records, written whole or not at all."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hwprofiles.calibration import OpSample
from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.device import Device
from hwprofiles.errors import ForeplanError, RecordError
from hwprofiles.link import Link
from hwprofiles.routing import Routing
from planner.certificate import Certificate
from planner.evidence import Evidence
from planner.jsonable import to_jsonable
from planner.machine import Machine, NodeRates
from planner.plan import Plan, Training
from planner.predict import Prediction

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

SCHEMA = 1
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """A cluster and its op costs for one number of workers, complete enough to price any plan."""

    name: str
    devices: tuple[str, ...]
    """Name of each device, by index."""
    device_kinds: tuple[Device, ...]
    """Each distinct device once, with its fitted curves."""
    links: tuple[Link, ...]
    edges: tuple[tuple[int | str, int | str, int], ...]
    """``(from, to, index into links)``."""
    ops: Mapping[str, tuple[OpSample, ...]]
    """Measured ops by device name."""
    identity: Mapping[str, Any]
    """What the measurements were taken on; empty for a shipped cluster."""
    routing: Routing = dataclasses.field(default_factory=Routing)
    """Which of several paths a route takes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RankedPlan:
    """One plan of a plan file. Its ``plan`` may be edited by hand: it is then checked again."""

    label: str
    plan: Plan
    prediction: Prediction


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """plan.json: the question, the ranked answer, and everything the answer rests on."""

    schema: int
    tool: str
    model: str
    cluster: str
    training: Training
    model_sha256: str
    plans: tuple[RankedPlan, ...]
    """Best first."""
    plans_sha256: str
    """Hash of the plans as they were predicted; another hash means that they were edited."""
    certificate: Certificate
    machine: Mapping[int, ClusterRecord]
    """By number of workers; 0 serves every number not listed."""
    fixed: Mapping[str, int | bool | str] | None = None
    """Fields of a plan that the search was held to; None in a file that does not say."""
    most: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Largest values that the search was held to, as in ``planner.space.Constraints``."""
    evidence: Evidence | None = None
    """Published runs, and runs of one's own, that the op costs rest on."""
    node: NodeRates | None = None
    """Price and power of a node, which cost and energy rest on."""

    @property
    def interval_kind(self) -> str:
        """What the interval of a prediction is: the 80 % one of runs left out, or one by grade."""
        return "80 %" if self.evidence and self.evidence.deviation is not None else "stated"

    def to_machine(self) -> Machine:
        """Return the machine that the predictions were made for, from this file alone."""
        clusters, books = {}, {}
        for workers, record in self.machine.items():
            kinds = {device.name: device for device in record.device_kinds}
            clusters[workers] = Cluster.from_edges(
                record.name,
                [kinds[name] for name in record.devices],
                [(a, b, record.links[i]) for a, b, i in record.edges],
                routing=record.routing,
            )
            books[workers] = {
                name: CostBook(
                    device=device, ops={op.signature: op for op in record.ops.get(name, ())}
                )
                for name, device in kinds.items()
            }
        identities = {w: r.identity for w, r in self.machine.items() if r.identity}
        return Machine(
            name=self.cluster,
            clusters=clusters,
            cost_books=books,
            identities=identities,
            evidence=self.evidence,
            node=self.node,
        )


def cluster_record(machine: Machine, workers: int, signatures: set[str]) -> ClusterRecord:
    """Return the record of ``machine`` at ``workers``, with the measured ops in ``signatures``."""
    cluster, books = machine.cluster(workers), machine.books(workers)
    kinds = {device.name: device for device in cluster.devices}
    links = list(dict.fromkeys(cluster.links))
    return ClusterRecord(
        name=cluster.name,
        devices=tuple(device.name for device in cluster.devices),
        device_kinds=tuple(kinds.values()),
        links=tuple(links),
        edges=tuple((a, b, links.index(cluster.links[i])) for a, b, i in edges_of(cluster)),
        ops={
            name: tuple(book.ops[s] for s in sorted(book.ops) if s in signatures)
            for name, book in books.items()
        },
        identity=machine.identities.get(workers, {}),
        routing=cluster.routing,
    )


def edges_of(cluster: Cluster) -> list[tuple[int | str, int | str, int]]:
    """Return ``(from, to, link id)`` in link order: a cluster built from it is numbered alike."""
    return [(src, dst, link_id) for (src, dst), link_id in cluster.edges.items()]


def plans_sha256(plans: tuple[RankedPlan, ...]) -> str:
    """Hash of the plans themselves, without labels and predictions."""
    import hashlib

    rows = [dataclasses.asdict(ranked.plan) for ranked in plans]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def write_record(path: Path, record: object) -> None:
    """Write a record as JSON: to a temporary file beside ``path``, then renamed over it."""
    text = json.dumps(to_jsonable(record), indent=1, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole or not at all; see ``write_bytes``."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all.

    What a link leads to is written; a device or a pipe has no name to take and is written to.

    Raises
    ------
    RecordError
        When the folder is missing, or the file cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        path = path.resolve()
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _cannot_be_written(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_be_written(path, error) from error
        raise


def _cannot_be_written(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"{path}: cannot be written ({error.strerror}); name a folder that exists and is yours"
    )


def read_record(path: Path, kind: type[R], what: str) -> R:
    """Read a record of type ``kind``; every fault is one sentence.

    Raises
    ------
    RecordError
        When the file is missing, is not JSON, has another schema or a field that is wrong.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(
            f"{path}: expected {what}, got {error.strerror}; check the path"
        ) from error
    except ValueError as error:
        raise RecordError(
            f"{path}: expected {what}, but the file is not whole JSON ({error}); write it again"
        ) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if kind is PlanFile and isinstance(data, dict) and "executions" in data:
        raise RecordError(
            f"{path}: expected {what}, got a measurement; give the plan file that it was executed"
            " from"
        )
    if schema != SCHEMA:
        raise RecordError(
            f"{path}: expected {what} of schema {SCHEMA}, got schema {schema!r}; write it with this"
            " version of foreplan"
        )
    return parse_record(data, kind, str(path))


def parse_record(data: object, kind: type[R], where: str) -> R:
    """Turn JSON types into a record, naming every field that is wrong."""
    from pydantic import ValidationError

    try:
        record: R = _adapter(cast("Hashable", kind)).validate_python(data)
    except ValidationError as error:
        raise RecordError(f"{where}: {_first_faults(error)}") from error
    except ForeplanError as error:
        raise RecordError(f"{where}: {error}") from error
    # A misspelt optional field would otherwise be its default, without a word
    unknown = list(_unknown_fields(data, to_jsonable(record)))
    if unknown:
        raise RecordError(f"{where}: {'; '.join(f'{name}: not a field' for name in unknown[:3])}")
    return record


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    """Build what validates one type once: that takes longer than a small file."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _unknown_fields(data: object, known: object, place: str = "") -> Iterator[str]:
    """Yield the places of what is in ``data`` and not in the record made from it."""
    if isinstance(data, dict) and isinstance(known, dict):
        for key, value in data.items():
            if str(key) not in known:
                yield f"{place}{key}"
            else:
                yield from _unknown_fields(value, known[str(key)], f"{place}{key}.")
    elif isinstance(data, list) and isinstance(known, list):
        for i, (value, other) in enumerate(zip(data, known, strict=False)):
            yield from _unknown_fields(value, other, f"{place}{i}.")


def _first_faults(error: "ValidationError") -> str:
    faults = [
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}, got {fault['input']!r:.40}"
        for fault in error.errors()[:3]
    ]
    rest = f" and {error.error_count() - 3} more" if error.error_count() > 3 else ""
    return "; ".join(faults) + rest
