"""Published rows in our words: model, devices, plan, software. No result is read here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hwprofiles.cluster import Cluster
from hwprofiles.clusters import cluster_facts, load_cluster, load_wires, plan_cluster, split_spec
from hwprofiles.costs import CostBook
from hwprofiles.device import Device
from hwprofiles.efficiency import Table, with_efficiency
from hwprofiles.errors import ProfileError
from hwprofiles.grade import Grade
from hwprofiles.parts import device_facts, load_device
from hwprofiles.transport import stack_of
from hwprofiles.units import MIB
from planner.machine import Machine
from planner.plan import Plan, Training
from planner.published.collective_cases import WHOLE, network_named, stated_nics
from planner.published.devices import device_of
from planner.published.models import is_sized, model_named, tokens_of
from planner.published.names import NOTHING, Unsaid, names, plain, whole_of
from planner.published.pipelined import Stages, stages_of
from planner.published.tpu import slice_of
from planner.transport_groups import lane_of, network_lane, nics
from planner.transport_law import Lane

MANY = 64
"""Most devices of a run that constants are fitted to; larger ones show how well they carry."""
UNSTATED_SAMPLES = 128
"""Taken where a row states no batch: tables of that time give the largest that fits."""
PER_DEVICE = (
    r"(?i)^~ ?|^(bs?|batch)[ =]*(?=[0-9])| ?[(]?(/|per) ?(gpu|device|chip|card|worker)[)]?$"
)
"""What may stand around the samples of a device."""
OF_ALL = r"(?i)(?=.*(?:global|total))[a-z =:(]*([0-9,]+)[a-z =:()]*"
"""How a batch of all devices says so."""
GENERATIONS = "(?i)[efhnx]dr|connectx|\\bcx|quantum"
"""Words by which a network says how fast it is."""
LARGEST = 1 << 31
"""Above it no number of samples or devices is one that was run."""
ALIKE = 1.3
"""Networks whose rates differ by less are one: that of the system."""


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
    between: Lane | None = None
    """NICs of a node, where the row states others than the system has."""
    stages: Stages | None = None
    """Where it runs in stages, one on each worker."""
    images_per_node_s: float | None = None
    """What the cores of a host decode; None where there are no files, or the host is not known."""
    passes_only: bool = False
    """Whether only forward and backward were timed: no input, no update."""
    assumed: Mapping[str, Any] = field(default_factory=dict)
    """What the row leaves unsaid, by column."""

    def efficient(self, table: Table | None = None) -> Device:
        """Return the device with the efficiency of its generation under the run's software."""
        return with_efficiency(shipped_device(self.device), self.stack, table)

    def grade(self, table: Table | None = None) -> Grade:
        """Return how well the products of the run are known, which take most of its time."""
        dtype = self.training.dtype
        return self.efficient(table).curve("linear", dtype, work_class="linear").grade

    def machine(self, table: Table | None = None, *, efficient: bool = True) -> Machine:
        """Return the machine of the run; without ``efficient`` at the peaks of the datasheet.

        ``table`` takes the place of the shipped constants.
        """
        device = self.efficient(table) if efficient else shipped_device(self.device)
        cluster = Cluster.from_edges("one", [device], [])
        if self.stages and self.system:  # whose transfers are tasks; else only calls cross links
            cluster = _cluster(self.system)
        book = CostBook(device=device, ops={})
        books = dict.fromkeys((d.name for d in cluster.devices), book)
        return Machine(
            name=cluster.name, clusters={0: cluster}, cost_books={0: books}, identities={}
        )


@cache
def shipped_device(name: str) -> Device:
    """Return a device; its file is read once."""
    return load_device(name)


@cache
def _host_part(device: str) -> str | None:
    """Return the link by which a device is plugged into its host."""
    host = device_facts(device).host
    return host.part if host else None


@cache
def _cluster(system: str) -> Cluster:
    return load_cluster(system)


def express(told: Mapping[str, str]) -> Case:
    """Return the run that a row tells of.

    Raises
    ------
    Unsaid
        With the reason, when a field is not stated or names what is not built in.
    """
    model = model_named(told)
    device = _device(told)
    if device is None:
        raise Unsaid(_unknown("accelerator", told.get("accelerator", "")))
    dtype = _dtype(told, device)
    stack = _ruled("stacks", "framework", told.get("framework", ""), told.get("year", ""))
    workers = _whole("n_devices", told)
    each = _each(told, workers)
    assumed: dict[str, Any] = {} if told.get("precision") else {"precision": dtype}
    if not each:
        assumed["devices_per_node"] = "those of a whole node"
    if not is_sized(told):
        assumed["input_size"] = "that of the model"
    samples = _samples(told, dtype, workers)
    if not samples:
        samples = assumed["batch_per_device"] = UNSTATED_SAMPLES
    stages = _stages(told, workers, assumed)
    system, placement = _placed(told, device, workers, each) if workers > 1 else ("", (0,))
    between = _network(told, system, assumed)
    method = _method(told) if workers > 1 else names()["methods"][-1]
    if "unsaid" in method:
        raise Unsaid(f"comm_method {told['comm_method']!r}: {method['unsaid']}")
    rounds = 1 if stages else _rounds(told, workers * samples)
    batch = samples * (stages.microbatches if stages else rounds * workers)
    if rounds > 1:
        assumed["global_batch"] = batch
    return Case(
        model=model,
        device=device,
        system=system,
        training=Training(batch=batch, dtype=dtype),
        plan=Plan(
            workers=workers,
            microbatch=samples,
            placement=placement,
            algorithm=method["algorithm"] if workers > 1 else "none",
            bucket_bytes=method["bucket_mib"] * MIB,
            overlap=workers > 1 and not stages and method.get("overlap", True),
        ),
        stack=stack,
        between=between,
        stages=stages,
        images_per_node_s=_decoded(told, system),
        passes_only=told.get("timed", "") == "passes",
        assumed=assumed,
    )


def _each(told: Mapping[str, str], workers: int) -> int:
    """Return the devices of a node, 0 where none are stated."""
    if workers == 1:
        return 1
    is_stated = told.get("devices_per_node", "").lower() not in NOTHING
    return _whole("devices_per_node", told) if is_stated else 0


def _device(told: Mapping[str, str]) -> str | None:
    """Return the device of a row; one on PCIe is the card, where there is a module of that name."""
    accelerator = told.get("accelerator", "")
    is_card = told.get("intra_link", "").lower().startswith("pci")
    module = re.search("(?i)sxm|nvlink|dgx|hgx", accelerator)
    return device_of(f"{accelerator} PCIe" if is_card and not module else accelerator)


def _network(told: Mapping[str, str], system: str, assumed: dict[str, Any]) -> Lane | None:
    """Return the NICs of a node, where a row states others than its system has.

    Where no number is stated Ethernet is one, and what is faster as many as the system has.
    """
    base, shape = split_spec(system) if system else ("", None)
    if not shape or not shape.isdigit():
        return None  # nothing is crossed
    text, own = told.get("inter_link", ""), network_lane(base) if nics(base) else None
    if text.lower() in NOTHING:
        if own:
            assumed["inter_link"] = f"that of {base}"
        return None
    part = network_named(text)
    stack, (count, rate) = str(stack_of(part)), stated_nics(text)
    is_kin = own is not None and own.stack.partition("-")[0] == stack.partition("-")[0]
    if is_kin and not rate and not count and not re.search(GENERATIONS, text):
        return None
    port = rate or load_wires(part).bandwidth_bytes_per_s
    ports = count or (nics(base) if own and stack != "ethernet" else 1)
    if own and rate and not count and port > WHOLE * own.port_bytes_per_s:
        port /= ports  # of all of them together
    is_own = own is not None and is_kin and 1 / ALIKE < port * ports / own.bytes_per_s < ALIKE
    return None if is_own else lane_of(part, port * ports, port)


def _stages(told: Mapping[str, str], workers: int, assumed: dict[str, Any]) -> Stages | None:
    """Return the stages of a run whose method is a pipeline; add what they assume."""
    try:
        schedule = _ruled("schedules", "comm_method", told.get("comm_method", ""))
    except Unsaid:
        return None
    try:
        found = stages_of(told, workers, schedule)
    except ValueError:
        raise Unsaid(
            "micro_batches is no whole number, or layer_balance no list of one for each device"
        ) from None
    taken = {"micro_batches": found.microbatches, "layer_balance": "the best"}
    assumed |= {column: taken[column] for column in found.guessed}
    return found


def _dtype(told: Mapping[str, str], device: str) -> str:
    """Return the dtype that is computed in.

    A device without a rate for 16 bits computes in float32, a TPU in the dtype that it has;
    frameworks compute float32 on matrix units that round its products (TF32) unless they are told
    not to.
    """
    told_as = told.get("precision", "") or names()["usual"].get(device, "")
    dtype = _ruled("precisions", "precision", plain(told_as))
    known: Mapping[str, float] = shipped_device(device).peak_flop_per_s
    rounds = not re.search(names()["precisions"]["exact"], plain(told_as))
    if dtype == "float32" and rounds and "tf32_matrix" in known:
        return "tf32"
    if {dtype, f"{dtype}_matrix"} & known.keys():
        return dtype
    return "float32" if "float32" in known else next(iter(known)).removesuffix("_matrix")


def _placed(
    told: Mapping[str, str], device: str, workers: int, each: int
) -> tuple[str, tuple[int, ...]]:
    """Return the system that a row names, and the devices of it that run."""
    host = _host_part(device)
    columns = ("accelerator", "intra_link", "inter_link")
    said = plain("; ".join(told.get(key, "") for key in columns))
    for choice in names()["systems"]:
        is_its = choice.get("device", device) == device and choice.get("host", host) == host
        fits = is_its and each <= choice.get("most", each)
        if fits and re.search(choice.get("at", ""), said):
            break
    else:
        raise Unsaid(f"a system of several {told['accelerator']!r} is not built in")
    node = str(choice["system"])
    if "slice" in choice:  # all chips are one node
        return _slice(node, workers, choice["slice"]), tuple(range(workers))
    size = len(plan_cluster(node)[3].nodes[0].parts)
    if choice.get("rack") or not each:
        each = min(workers, size)
    nodes = -(-workers // each)
    if each > size:
        raise Unsaid(f"devices_per_node is {each}, a node of {node} has {size}")
    placement = tuple(rank // each * size + rank % each for rank in range(workers))
    return node if nodes == 1 else f"{node}:{nodes}", placement


def _slice(pod: str, chips: int, dimensions: int) -> str:
    """Return the slice of a pod that has so many chips."""
    if chips.bit_count() != 1:
        raise Unsaid(f"a slice of {chips} chips is not built in, only powers of two")
    found = f"{pod}:{slice_of(chips, dimensions)}"
    try:
        plan_cluster(found)
    except ProfileError as error:
        raise Unsaid(str(error)) from error
    return found


def _method(told: Mapping[str, str]) -> Mapping[str, Any]:
    """Return how gradients are exchanged: the first entry of the table that fits."""
    found: Mapping[str, Any] = next(
        entry
        for entry in names()["methods"]
        if re.search(entry.get("method", ""), plain(told.get("comm_method", "")))
        and re.search(entry.get("framework", ""), told.get("framework", ""))
    )
    return found


def _ruled(table: str, column: str, told: str, year: str = "") -> str:
    """Return what the first rule gives that is found in a column, and holds in that year."""
    for rule, found, *until in names()[table]["rules"]:
        in_time = not until or (year.isdigit() and int(year) <= until[0])
        if told and in_time and re.search(rule, told):
            return str(found)
    raise Unsaid(_unknown(column, told))


def _unknown(column: str, told: str) -> str:
    return f"{column} {told!r} is not built in" if told else f"{column} is not stated"


def _decoded(told: Mapping[str, str], system: str) -> float | None:
    """Return the images that a host decodes, 1/s, where it does."""
    usual = names()["decoded"]
    on_host = re.search(usual["frameworks"], told.get("framework", ""))
    if not system or told.get("input_data") != usual["input_data"] or not on_host:
        return None
    host = cluster_facts(system).host
    return float(host.cores * usual["images_per_core_s"]) if host and host.cores else None


def _rounds(told: Mapping[str, str], at_once: int) -> int:
    """Return the batches whose gradients are added up before they are exchanged.

    Their number is seldom stated; what is trained by large batches has usual ones.
    """
    for usual in names()["accumulated"]:
        whole: int = usual["batch"].get(str(tokens_of(told)), 0)
        if re.search(usual["models"], told["model"]):
            return max(1, round(whole / at_once))
    return 1


def _samples(told: Mapping[str, str], dtype: str, workers: int) -> int:
    """Return the samples of a device, 0 where none are stated.

    Of two, "8 : 16", the first is that of float32. Two may have run together: "7638" was "76, 38",
    and "128128" one number for both.
    """
    text = re.sub(PER_DEVICE, "", told.get("batch_per_device", ""))
    shared = re.fullmatch(OF_ALL, text)
    whole = shared[1] if shared else "" if text else told.get("global_batch", "")
    if whole:
        of_all = _whole("global batch", {"global batch": whole})
        if of_all % workers:
            raise Unsaid(f"a global batch of {of_all} does not divide by {workers} devices")
        return of_all // workers
    if not text:
        return 0
    text = str(whole_of(text) or text)
    half = len(text) // 2
    several = text.split(" : ")
    if text.isdigit() and half > 1 and text == 2 * text[:half]:
        several = [text[:half]]
    elif text.isdigit() and half > 1 and int(text[:half]) == 2 * int(text[half:]):
        several = [text[half:], text[:half]]
    narrow = dtype not in ("float32", "tf32")
    return _whole("batch_per_device", {"batch_per_device": several[-1 if narrow else 0]})


def _whole(column: str, told: Mapping[str, str]) -> int:
    text = told.get(column, "")
    found = whole_of(text)
    if not found or found > LARGEST:
        raise Unsaid(f"{column} is {f'{text!r}, no whole number' if text else 'not stated'}")
    return found
