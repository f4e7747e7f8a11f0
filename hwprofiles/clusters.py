"""Clusters by name: ``dgx-a100-80g``, ``dgx-a100-80g:16``, ``tpu-v4:4x4x8``, ``my-cluster.toml``.

What stands after the colon is the number of nodes, or the shape of the slice of a torus.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from math import prod
from pathlib import Path
from typing import TypeVar

from hwprofiles.cluster import Cluster
from hwprofiles.clusterfacts import MAX_DEVICES, ClusterPart, Fabric
from hwprofiles.compose import Blueprint, NodePlan, blueprint, node_plan
from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.fabrics.base import Node
from hwprofiles.link import Link
from hwprofiles.parts import load_device, load_link, read_part
from hwprofiles.units import GB, US

SWITCH_S = 0.2 * US
"""What one more switch of a network adds to a small message: 0.13-0.2 us for InfiniBand, recalled
as 0.1-0.2 us in general."""
SPEC = re.compile(r"(?P<name>.*?)(?::(?P<shape>[^:/\\]*))?")
_Part = TypeVar("_Part", Device, Link)
Edge = tuple[Node, Node, Link]


def cluster_facts(spec: str | Path) -> ClusterPart:
    """Return all that the file of a cluster says, in the vendor's units and with its sources.

    Raises
    ------
    ProfileError
        As :func:`load_cluster`.
    """
    return read_part("cluster", split_spec(spec)[0], ClusterPart)[2]


def load_cluster(spec: str | Path) -> Cluster:
    """Return the cluster that ``spec`` names.

    Parameters
    ----------
    spec : str or Path
        ``NAME`` of ``hwprofiles/data/clusters/NAME.toml`` or an alias, or a path to a TOML file;
        after a colon the number of nodes (``dgx-h100:16``), or the shape of a slice of a pod
        (``tpu-v4:4x4x8``). Without one the file says how many.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.

    Notes
    -----
    Devices are numbered in the order of the file, node after node. Parts that the file names are
    shipped ones, or files of the user by a path from the folder of the cluster's file.

    ASSUMES: the latency of a network's link is that of a message between two machines, so a wire
    with one machine at its end has half of it, and every further switch adds ``SWITCH_S``.
    """
    misfits: list[str] = []
    name, where, part, plan = _planned(spec, misfits)
    wires = list(plan.wires())
    problems: list[str] = []
    devices = _load_all(load_device, plan.parts, problems)
    links = _load_all(load_wires, (wire.link for wire, _ in wires), problems)
    if problems := problems + misfits:
        raise ProfileError(f"{where}: {'; '.join(problems)}")
    cap = part.network.flow_cap_gb_per_s if part.network else None

    @cache  # so that equal links are one object
    def link_of(ref: str, cables: float, ports: int | None) -> Link:
        link = links[ref]
        if ports is None:
            return link.times(cables) if cables != 1 else link
        hop_s = link.overheads[0][1] * ports / 2 if ports else SWITCH_S
        return link.cable(cables, hop_s, cap * GB if cap and ports else float("inf"))

    edges: list[Edge] = []
    for wire, ports in wires:
        link = link_of(wire.link, wire.cables, ports)
        edges.append((wire.start, wire.end, link))
        if not wire.directed:
            edges.append((wire.end, wire.start, link))
    return Cluster.from_edges(
        name,
        (devices[ref] for ref in plan.parts),
        edges,
        source=f"{part.title}; {part.source}",
        routing=plan.routing,
    )


def plan_cluster(spec: str | Path) -> tuple[str, str, ClusterPart, Blueprint]:
    """Return a cluster's name, how an error calls it, its facts, and its devices and wires.

    Nothing is loaded but the cluster's own file, and those of its nodes.

    Raises
    ------
    ProfileError
        As :func:`load_cluster`, devices and links apart.
    """
    problems: list[str] = []
    name, where, part, plan = _planned(spec, problems)
    if problems:
        raise ProfileError(f"{where}: {'; '.join(problems)}")
    return name, where, part, plan


def _planned(spec: str | Path, problems: list[str]) -> tuple[str, str, ClusterPart, Blueprint]:
    """Return what :func:`plan_cluster` does; add what is wrong with the file to ``problems``."""
    text, shape = split_spec(spec)
    name, where, part = read_part("cluster", text, ClusterPart)
    folder = Path(text).parent
    part, count = _shaped(part, where, shape)
    if part.nodes:
        runs = _other_nodes(part, folder, problems)
        runs = [(node, count) for node, _ in runs[:1]] if shape else runs
    else:
        runs = [(node_plan(part, folder, problems), count)]
    most = sum(len(node.parts) * times for node, times in runs)
    if most > MAX_DEVICES:
        problems.append(f"expected at most {MAX_DEVICES} devices, got {most}; give fewer nodes")
        runs = []
    nodes = [node for node, times in runs for _ in range(times)]
    plan = blueprint(nodes, part, folder, problems)
    return (f"{name}:{shape}" if shape else name), where, part, plan


def _other_nodes(
    part: ClusterPart, folder: Path, problems: list[str]
) -> list[tuple[NodePlan, int]]:
    """Return the nodes that a file takes from other files, with how many of each."""
    runs: list[tuple[NodePlan, int]] = []
    for block in part.nodes:
        at = str(folder / block.system) if block.system.endswith(".toml") else block.system
        try:
            runs.append((plan_cluster(at)[3].nodes[0], block.count))
        except ProfileError as error:
            problems.append(f"nodes: {error}")
    return runs


def split_spec(spec: str | Path) -> tuple[str, str | None]:
    """Return the name or path, and what stands after the colon.

    >>> split_spec("tpu-v4:4x4x8"), split_spec("a/b.toml")
    (('tpu-v4', '4x4x8'), ('a/b.toml', None))
    """
    found = SPEC.fullmatch(str(spec))
    if found is None:
        raise ProfileError(f"cluster {str(spec)!r}: expected a name or a path on one line")
    return found["name"], found["shape"]


def is_slice(part: ClusterPart) -> bool:
    """Say whether the file describes slices of a pod, so that a shape and no number is given."""
    return part.fabric is not None and "pod" in part.fabric.arguments


def _shaped(part: ClusterPart, where: str, shape: str | None) -> tuple[ClusterPart, int]:
    """Return the facts with the dimensions that were asked for, and the number of nodes."""
    if shape is None:
        return part, part.node_count
    given = f"{where}: after the colon"
    sizes = [int(size) for size in shape.split("x") if re.fullmatch("[0-9]{1,9}", size)]
    if is_slice(part) and part.fabric:
        pod = part.fabric.arguments["pod"]
        example = "x".join(["4"] * len(pod))
        if len(sizes) != len(pod) or len(sizes) != shape.count("x") + 1 or not all(sizes):
            raise ProfileError(
                f"{given}: expected {len(pod)} dimensions such as {example}, got {shape!r};"
                f" a pod is {'x'.join(map(str, pod))} chips"
            )
        if prod(sizes) > prod(pod):
            raise ProfileError(
                f"{given}: expected at most {prod(pod)} chips, which is a pod, got {prod(sizes)};"
                " give a smaller slice"
            )
        fabric = Fabric.model_validate({**part.fabric.model_dump(), "dims": sizes})
        devices = [part.devices[0].model_copy(update={"count": prod(sizes)})]
        return part.model_copy(update={"fabric": fabric, "devices": devices}), 1
    if len(sizes) != 1 or "x" in shape or sizes[0] < 1:
        raise ProfileError(f"{given}: expected a number of nodes such as 4, got {shape!r}")
    if not part.network and sizes[0] > 1:
        raise ProfileError(
            f"{given}: expected 1, for the file has no network to join nodes, got {shape}; add a"
            " [network] block, or name another system"
        )
    if len(part.nodes) > 1:
        raise ProfileError(
            f"{given}: expected nothing, for the file says how many of each kind, got {shape}; edit"
            " the file"
        )
    return part, sizes[0]


def load_wires(ref: str | Path) -> Link:
    """Return a link by name, or ``"4 x NAME"``: four that carry every transfer together."""
    count, _, name = str(ref).rpartition(" x ")
    if count and not re.fullmatch("[1-9][0-9]{0,5}", count):
        raise ProfileError(f"link {str(ref)!r}: expected a number before ' x ', got {count!r}")
    link = load_link(name)
    return link.times(int(count)) if count else link


def _load_all(
    load: Callable[[str | Path], _Part], refs: Iterable[str], problems: list[str]
) -> dict[str, _Part]:
    """Load every part once, by the text that names it; add what is wrong to ``problems``."""
    loaded = {}
    for ref in dict.fromkeys(refs):
        try:
            loaded[ref] = load(ref)
        except ProfileError as error:
            problems.append(str(error))
    return loaded
