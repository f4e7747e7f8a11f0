"""Every name that a part or a system has, with a fact: what ``hw list`` prints."""

from typing import Any

from hwprofiles.clusterfacts import ClusterPart
from hwprofiles.clusters import cluster_facts
from hwprofiles.facts import DevicePart, LinkPart
from hwprofiles.parts import device_facts, link_facts, part_names
from hwprofiles.units import GB, format_flop


def listing() -> dict[str, list[dict[str, Any]]]:
    """Return every name with its aliases and one fact: devices, links and systems."""
    devices = {name: device_facts(name) for name in part_names("device")}
    links = {name: link_facts(name) for name in part_names("link")}
    systems = {name: cluster_facts(name) for name in part_names("cluster")}
    local = {"name": "local", "aliases": [], "fact": "this machine, as it was measured"}
    return {
        "devices": [_line(name, part, _device_fact(part)) for name, part in devices.items()],
        "links": [_line(name, part, _link_fact(part)) for name, part in links.items()],
        "systems": [local]
        + [_line(name, part, system_fact(part)) for name, part in systems.items()],
    }


def system_fact(part: ClusterPart) -> str:
    """Return a line: devices, what joins them, and the NICs of a node."""
    if part.nodes:
        of = ", ".join(f"{block.count} x {block.system}" for block in part.nodes)
        return f"{of}, {part.network.builder if part.network else 'one node'}"
    told = [", ".join(f"{block.count} x {block.part}" for block in part.devices)]
    if part.fabric and "pod" in part.fabric.arguments:
        sides = "x".join(map(str, part.fabric.arguments["pod"]))
        return f"a slice of a pod of {sides} x {part.devices[0].part}"
    told += [part.fabric.builder] if part.fabric else ["PCIe"]
    if part.network:
        nics = part.host.arguments.get("nics", 0) if part.host else 0
        told.append(f"{f'{nics} x ' if nics > 1 else ''}{part.network.arguments['link']}")
    return ", ".join(told)


def _line(name: str, part: DevicePart | LinkPart | ClusterPart, fact: str) -> dict[str, Any]:
    return {"name": name, "aliases": list(part.aliases), "fact": fact}


def _device_fact(part: DevicePart) -> str:
    dtype, rate = max(part.peak.flop_per_s.items(), key=lambda item: _training_first(item[0]))
    gb = part.memory.total_bytes / GB
    return (
        f"{gb:.4g} GB at {part.memory.bandwidth_gb_per_s:g} GB/s,"
        f" {dtype.replace('_', ' ')} {format_flop(rate, 4)}/s"
    )


def _training_first(dtype: str) -> int:
    """Rank dtypes: what most would train in comes last."""
    order = (
        "float64",
        "float32",
        "float32_matrix",
        "float16_matrix",
        "bfloat16",
        "bfloat16_matrix",
    )
    return order.index(dtype) if dtype in order else -1


def _link_fact(part: LinkPart) -> str:
    latency_us = part.latency_us + (part.endpoint_us or 0)
    return f"{part.bandwidth_gb_per_s:g} GB/s per direction, {latency_us:g} us, {part.kind}"
