"""Published rows in our words: model, devices, plan, software. No result is read here."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hwprofiles.cluster import Cluster
from hwprofiles.clusters import load_cluster, plan_cluster
from hwprofiles.costs import CostBook
from hwprofiles.efficiency import Table, with_efficiency
from hwprofiles.parts import load_device
from planner.machine import Machine
from planner.model import with_tokens
from planner.plan import Plan, Training

BUCKET_BYTES = 25 * 2**20
"""PyTorch's default of ``DistributedDataParallel(bucket_cap_mb=25)``; Horovod fuses up to 64 MB."""
MANY = 64
"""Most devices of a run that constants are fitted to; larger ones show how well they carry."""
LONG_TEXT = 512
"""Tokens of the texts that are padded most."""
UNSTATED_SAMPLES = 128
"""Taken where a row states no batch: tables of that time give the largest that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A published run as a plan."""

    model: str
    device: str
    system: str
    """Where more than one device runs; else empty."""
    training: Training
    plan: Plan
    stack: str
    passes_only: bool = False
    """Whether only forward and backward were timed: no input, no update."""
    assumed: Mapping[str, Any] = field(default_factory=dict)
    """What the row leaves unsaid, by column."""

    def machine(self, table: Table | None = None, *, efficient: bool = True) -> Machine:
        """Return the machine of the run; without ``efficient`` at the peaks of the datasheet.

        ``table`` takes the place of the shipped constants.
        """
        device = load_device(self.device)
        if efficient:
            device = with_efficiency(device, self.stack, table)
        cluster = _cluster(self.system) if self.system else Cluster.from_edges("one", [device], [])
        book = CostBook(device=device, ops={})
        books = dict.fromkeys((d.name for d in cluster.devices), book)
        return Machine(
            name=cluster.name, clusters={0: cluster}, cost_books={0: books}, identities={}
        )


class Unsaid(Exception):
    """Why a row cannot be expressed; not an error of the user."""


@cache
def _cluster(system: str) -> Cluster:
    return load_cluster(system)


@cache
def _names() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))


def express(told: Mapping[str, str]) -> Case:
    """Return the run that a row tells of.

    Raises
    ------
    Unsaid
        With the reason, when a field is not stated or names what is not built in.
    """
    model = _model(told)
    device = _name("devices", "accelerator", told["accelerator"])
    dtype = _dtype(told, device)
    stack = _stack(told)
    workers = _whole("n_devices", told)
    each = _whole("devices_per_node", told) if workers > 1 else 1
    assumed: dict[str, Any] = {}
    if told.get("batch_per_device"):
        samples = _whole("batch_per_device", told)
    else:
        samples = assumed["batch_per_device"] = UNSTATED_SAMPLES
    system, placement = _placed(told, workers, each) if workers > 1 else ("", (0,))
    return Case(
        model=model,
        device=device,
        system=system,
        training=Training(batch=workers * samples, dtype=dtype),
        plan=Plan(
            workers=workers,
            microbatch=samples,
            placement=placement,
            algorithm="ring" if workers > 1 else "none",
            bucket_bytes=BUCKET_BYTES,
            overlap=workers > 1,
        ),
        stack=stack,
        passes_only=told.get("timed", "") == "passes",
        assumed=assumed,
    )


def _model(told: Mapping[str, str]) -> str:
    """Return the model, at the tokens of a text that the row states."""
    name = _name("models", "model", _key(told["model"]), told["model"])
    tokens = re.match("seq ([0-9]+)", told.get("input_size", ""))
    if tokens is None:
        return name
    whole = int(tokens[1])
    dropped = whole == LONG_TEXT and told.get("framework") in _names()["unpadded"]
    return with_tokens(name, whole // 2 if dropped else whole)


def _dtype(told: Mapping[str, str], device: str) -> str:
    """Return the dtype; a device without a rate for 16 bits computes in float32."""
    dtype = _name("precisions", "precision", told.get("precision", "").lower())
    known = load_device(device).peak_flop_per_s
    return dtype if {dtype, f"{dtype}_matrix"} & known.keys() else "float32"


def _placed(told: Mapping[str, str], workers: int, each: int) -> tuple[str, tuple[int, ...]]:
    """Return the system that a row names, and the devices of it that run."""
    link = told.get("intra_link", "") + told.get("inter_link", "")
    for choice in _names()["systems"].get(told["accelerator"], ()):
        if choice.get("with", "") in link and each <= choice.get("most", each):
            break
    else:
        raise Unsaid(f"a system of several {told['accelerator']!r} is not built in")
    nodes = -(-workers // each)
    node = str(choice["system"])
    size = len(plan_cluster(node)[3].nodes[0].parts)
    if each > size:
        raise Unsaid(f"devices_per_node is {each}, a node of {node} has {size}")
    placement = tuple(rank // each * size + rank % each for rank in range(workers))
    return node if nodes == 1 else f"{node}:{nodes}", placement


def _stack(told: Mapping[str, str]) -> str:
    framework, year = told.get("framework", ""), told.get("year", "")
    for choice in _names()["stacks"].get(framework, ()):
        if "until" not in choice or (year.isdigit() and int(year) <= choice["until"]):
            return str(choice["stack"])
    raise Unsaid(
        f"framework {framework!r} is not known" if framework else "framework is not stated"
    )


def _key(name: str) -> str:
    return name.lower().replace(" ", "").replace("-", "").replace("_", "")


def _name(table: str, column: str, told: str, shown: str = "") -> str:
    found = _names()[table].get(told)
    if found is None:
        raise Unsaid(
            f"{column} {shown or told!r} is not built in" if told else f"{column} is not stated"
        )
    return str(found)


def _whole(column: str, told: Mapping[str, str]) -> int:
    text = told.get(column, "")
    if not text.isdigit() or not int(text):
        raise Unsaid(f"{column} is {f'{text!r}, no whole number' if text else 'not stated'}")
    return int(text)
