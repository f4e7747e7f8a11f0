"""Hardware as rows and as JSON: what ``hw show`` prints. Holds no formula."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hwprofiles.calibration import Calibration, co_run_factor
from hwprofiles.clusterfacts import ClusterPart
from hwprofiles.clusters import cluster_facts
from hwprofiles.parts import (
    Kind,
    device_facts,
    link_facts,
    load_device,
    load_link,
    part_aliases,
    part_names,
    unknown,
)
from hwprofiles.units import format_bytes, format_flop, format_s

Rows = list[tuple[str, str]]
KINDS: tuple[Kind, ...] = ("device", "link", "cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All there is to print about one name."""

    title: str
    record: Mapping[str, Any]
    """For JSON; its keys are stable."""
    rows: Rows
    tables: Sequence[tuple[tuple[str, ...], list[tuple[str, ...]]]] = ()
    notes: Sequence[str] = field(default=())


def sheets(name: str) -> dict[str, Sheet]:
    """Return what there is about ``name`` by kind: one name may be a device and a system.

    Raises
    ------
    ProfileError
        Unknown name, with the nearest ones, or a file that is wrong.
    """
    local, colon, by = name.partition(":")
    if local == "local":
        return {"local": local_sheet(by if colon else "numpy")}
    if name.endswith(".toml") or ":" in name:
        return {"system": system_sheet(name)}
    makers: dict[Kind, Callable[[str], Sheet]] = {
        "device": device_sheet,
        "link": link_sheet,
        "cluster": system_sheet,
    }
    found = [kind for kind in KINDS if name in part_names(kind)]
    found = found or [kind for kind in KINDS if name in part_aliases(kind)]
    if not found:
        known = [part for kind in KINDS for part in part_names(kind)]
        aliases = {a: p for kind in KINDS for a, p in part_aliases(kind).items()}
        raise unknown("hardware", name, [*known, "local"], aliases)
    return {kind.replace("cluster", "system"): makers[kind](name) for kind in found}


def device_sheet(name: str) -> Sheet:
    """Return the sheet of a device."""
    device, part = load_device(name), device_facts(name)
    rows: Rows = [("kind", f"{part.kind}, {part.vendor or 'own part'} {part.year or ''}".rstrip())]
    rows += [("aliases", ", ".join(part.aliases))] if part.aliases else []
    rows.append(("memory", format_bytes(device.memory_bytes, 4)))
    rows.append(("memory bandwidth", f"{format_bytes(device.memory_bytes_per_s, 4)}/s"))
    for dtype, rate in device.peak_flop_per_s.items():
        rows.append((f"peak {dtype.replace('_', ' ')}", f"{format_flop(rate, 4)}/s"))
    if host := part.host:
        each = f", {host.bandwidth_gb_per_s:g} GB/s" if host.bandwidth_gb_per_s else ""
        rows.append(("to the host", f"{host.interface}{each}"))
    if peers := part.scale_up:
        total = f"{peers.link_gb_per_s:g} GB/s = {peers.total_gb_per_s:g} GB/s"
        rows.append(("to its peers", f"{peers.links} x {peers.interface}, {total}"))
    rows += [("power", f"{device.power_w:g} W")] if device.power_w else []
    if part.price:
        rows.append(("price", f"{part.price.usd_per_h:g} $/h ({part.price.date})"))
    record = {
        "name": device.name,
        "title": part.title,
        "kind": device.kind,
        "aliases": part.aliases,
        "memory_bytes": device.memory_bytes,
        "memory_bytes_per_s": device.memory_bytes_per_s,
        "peak_flop_per_s": dict(device.peak_flop_per_s),
        "power_w": device.power_w,
        "price_usd_per_h": device.price_usd_per_h,
        "source": device.source,
        "facts": part.model_dump(mode="json", exclude_none=True),
    }
    return Sheet(
        title=f"{device.name}: {part.title}",
        record=record,
        rows=rows,
        notes=[f"source: {device.source}", *_note(part.note)],
    )


def link_sheet(name: str) -> Sheet:
    """Return the sheet of a link."""
    link, part = load_link(name), link_facts(name)
    rows: Rows = [("kind", part.kind or "own part")]
    rows += [("aliases", ", ".join(part.aliases))] if part.aliases else []
    rows.append(("bandwidth", f"{part.bandwidth_gb_per_s:g} GB/s per direction"))
    if part.achievable_gb_per_s:
        reached = f"{part.achievable_gb_per_s:.4g} GB/s ({part.efficiency_basis})"
        rows.append(("reached", reached))
    basis = "; ".join(text for text in (part.latency_basis, part.endpoint_basis) if text)
    rows.append(("latency", f"{format_s(link.overheads[0][1])} ({basis})"))
    record = {
        "name": link.name,
        "title": part.title,
        "kind": part.kind,
        "aliases": part.aliases,
        "bandwidth_bytes_per_s": link.bandwidth_bytes_per_s,
        "latency_s": link.overheads[0][1],
        "source": link.source,
        "facts": part.model_dump(mode="json", exclude_none=True),
    }
    return Sheet(
        title=f"{link.name}: {part.title}",
        record=record,
        rows=rows,
        notes=[f"source: {part.source}", *_note(part.note)],
    )


def system_sheet(spec: str) -> Sheet:
    """Return the sheet of a system: its node, its tiers, its links."""
    from hwprofiles.tiers import describe, format_rate

    system = describe(spec)
    part, plan = system.part, system.plan
    node = part if part.devices else cluster_facts(part.nodes[0].system)
    counts = {ref: plan.parts.count(ref) for ref in dict.fromkeys(plan.parts)}
    devices = {ref: load_device(ref) for ref in counts}
    made = " ".join(str(x) for x in (part.vendor, part.year) if x)
    rows: Rows = [("made by", made)] if made else []
    rows += [("aliases", ", ".join(part.aliases))] if part.aliases else []
    each = f"{len(plan.nodes)} nodes of {len(plan.nodes[0].parts)}: " if len(plan.nodes) > 1 else ""
    held = ", ".join(f"{count} x {devices[ref].name}" for ref, count in counts.items())
    rows.append(("devices", each + held))
    for ref, device in devices.items():
        of = f" of {device.name}" if len(devices) > 1 else ""
        total = device.memory_bytes * counts[ref]
        memory = f"{format_bytes(device.memory_bytes, 4)} each, {format_bytes(total, 4)}"
        rows.append((f"memory{of}", memory))
        for dtype, rate in device.peak_flop_per_s.items():
            told = f"{format_flop(rate, 4)}/s each, {format_flop(rate * counts[ref], 4)}/s"
            rows.append((f"peak {dtype.replace('_', ' ')}{of}", told))
    rows += _host_rows(node)
    price = part.price or node.price
    if price:
        rows.append(("price of a node", f"{price.usd_per_h:g} $/h ({price.date})"))
    tiers: list[tuple[str, ...]] = [
        (
            f"{t.name} ({t.builder})",
            str(t.devices),
            f"{t.ports} x {format_rate(t.port_bytes_per_s)}",
            format_rate(t.device_bytes_per_s),
            format_rate(t.bisection_bytes_per_s) if t.bisection_bytes_per_s else "",
        )
        for t in system.tiers
    ]
    links: list[tuple[str, ...]] = [
        (
            use.name,
            f"{use.count:g}",
            format_rate(use.link.bandwidth_bytes_per_s),
            format_s(use.link.overheads[0][1]),
        )
        for use in system.links
    ]
    heads = (
        ("tier", "devices", "ports", "a device", "bisection"),
        ("link", "wires", "per direction", "latency"),
    )
    record = {
        "name": system.name,
        "title": part.title,
        "vendor": part.vendor,
        "year": part.year,
        "aliases": part.aliases,
        "nodes": len(plan.nodes),
        "node_devices": len(plan.nodes[0].parts),
        "devices": [{"name": devices[ref].name, "count": n} for ref, n in counts.items()],
        "memory_bytes": {d.name: d.memory_bytes for d in devices.values()},
        "peak_flop_per_s": {d.name: dict(d.peak_flop_per_s) for d in devices.values()},
        "tiers": list(system.tiers),
        "links": [
            {
                "name": use.name,
                "wires": use.count,
                "bandwidth_bytes_per_s": use.link.bandwidth_bytes_per_s,
                "latency_s": use.link.overheads[0][1],
            }
            for use in system.links
        ],
        "bisection_bytes_per_s": system.bisection_bytes_per_s,
        "node_price_usd_per_h": price.usd_per_h if price else None,
        "source": part.source,
        "facts": part.model_dump(mode="json", exclude_none=True, by_alias=True),
    }
    blocks = [b for b in (part, part.fabric, part.host, part.network) if b is not None]
    return Sheet(
        title=f"{system.name}: {part.title}",
        record=record,
        rows=rows,
        tables=[(heads[0], tiers), (heads[1], links)],
        notes=[f"source: {part.source}", *(n for block in blocks for n in _note(block.note))],
    )


def local_sheet(by: str = "numpy") -> Sheet:
    """Return the sheet of this machine: its identity, and how many ops are measured on it."""
    from dataclasses import replace

    from foreplan.machines import Local

    local = Local.here(by)
    facts, identity = local.facts, local.identity(1)
    known: dict[int, Calibration] = {}
    for workers in range(1, facts.physical_cores + 1):
        found = local.store.calibration(replace(identity, lanes=workers).key)
        if found:
            known[workers] = found
    co_run = {w: co_run_factor(known[1], found) for w, found in known.items() if 1 in known}
    blas = f"{identity.blas_library} {identity.blas_version}, {identity.blas_architecture}"
    rows: Rows = [
        ("CPU", facts.cpu_model),
        ("lanes", f"{facts.physical_cores} cores, {facts.logical_cores} logical"),
        ("memory", format_bytes(facts.memory_bytes, 4)),
        ("BLAS", f"{blas}, {identity.blas_threads} thread a worker"),
        *([("backend", f"{by}, {identity.backend_library}")] if identity.backend_library else []),
        *((name, value) for name, value in identity.context),
        ("identity", identity.key[:16]),
    ]
    for workers, found in known.items():
        factor = co_run.get(workers) if workers > 1 else None
        slower = f", {factor:.2f} times as long as alone (median)" if factor else ""
        rows.append((f"measured, {workers} at once", f"{len(found.ops)} ops{slower}"))
    record = {
        "name": local.name,
        "cpu_model": facts.cpu_model,
        "physical_cores": facts.physical_cores,
        "logical_cores": facts.logical_cores,
        "memory_bytes": facts.memory_bytes,
        "identity": identity.to_dict(),
        "key": identity.key,
        "measured_ops": {workers: len(found.ops) for workers, found in known.items()},
        "co_run_factor": co_run,
    }
    advice = [] if known else [f"no op is measured; run `{local.calibrating}`"]
    return Sheet(title=f"{local.name}: this machine", record=record, rows=rows, notes=advice)


def _host_rows(part: ClusterPart) -> Rows:
    """Return what is known of the host of a node, and of its power."""
    rows: Rows = []
    if host := part.host:
        cores = f", {host.cores} cores or vCPUs" if host.cores else ""
        rows += [("CPUs of a node", f"{host.cpu}{cores}")] if host.cpu else []
        rows += [("host memory", f"{host.memory_gb:g} GB")] if host.memory_gb else []
        rate = f", {host.disk_gb_per_s:g} GB/s" if host.disk_gb_per_s else ""
        rows += [("disks", f"{host.disk}{rate}")] if host.disk else []
    rows += [("power of a node", f"{part.power.node_kw:g} kW")] if part.power else []
    return rows


def _note(text: str) -> list[str]:
    return [f"note: {' '.join(text.split())}"] if text else []
