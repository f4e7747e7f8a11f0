"""The systems of the catalogue's page: what each is made of, its tiers, its sources."""

from hwprofiles.facts import Sourced
from hwprofiles.markdown import aliases, doubt, number, one_line, table
from hwprofiles.parts import part_names
from hwprofiles.tiers import System, Tier, describe
from hwprofiles.units import GB

INTRODUCTION = """## Systems

A name is one node, or the whole cluster where a file says how many nodes; `NAME:4` is four nodes,
and `tpu-v4:4x4x8` a slice of a pod. Scale-up is what joins the devices of a node: the most to one
peer, a device's total, and the bisection, half of the devices to the other half. Scale-out is the
NICs of a node and a device's share of them. Prices are for one node for one hour.
"""
BLOCKS = ("fabric", "host", "network", "power", "price")


def system_lines() -> list[str]:
    """Return the section on systems: a table, then sources."""
    systems = [describe(name) for name in part_names("cluster")]
    head = ["name", "year", "devices", "joined by", "peer GB/s", "device GB/s", "bisection GB/s"]
    head += ["NICs", "NIC GB/s", "a device GB/s", "network", "kW", "$/h"]
    lines = [INTRODUCTION, *table(head, [_cells(system) for system in systems])]
    lines += ["", "### Sources", ""]
    for system in systems:
        lines += _sources(system)
    return lines


def _cells(system: System) -> list[str]:
    part, tiers = system.part, {tier.name: tier for tier in system.tiers}
    inner = tiers.get("scale-up") or tiers.get("host")
    outer = tiers.get("scale-out")
    parts = system.plan.parts
    held = ", ".join(f"{parts.count(ref)} x {ref}" for ref in dict.fromkeys(parts))
    price, power = part.price, part.power
    return [
        f"`{system.name}`",
        str(part.year or ""),
        held,
        inner.builder if inner else "",
        *(_rates(inner) if inner else ["", "", ""]),
        *(_nics(outer) if outer else ["", "", "", ""]),
        number(power.node_kw) + doubt(power) if power else "",
        number(price.usd_per_h) + doubt(price) if price else "",
    ]


def _rates(tier: Tier) -> list[str]:
    cut = tier.bisection_bytes_per_s
    rates = (tier.port_bytes_per_s, tier.device_bytes_per_s)
    return [*(number(rate / GB) for rate in rates), number(cut / GB) if cut else ""]


def _nics(tier: Tier) -> list[str]:
    rates = (tier.port_bytes_per_s, tier.device_bytes_per_s)
    return [str(tier.ports), *(number(rate / GB) for rate in rates), tier.builder]


def _sources(system: System) -> list[str]:
    """Return one item: what it is, then its blocks, each with its own source and note."""
    part = system.part
    told = [aliases(part.aliases), one_line(part.note)]
    words = " ".join(text for text in told if text)
    lines = [f"- `{system.name}`: {part.title}. {words}".rstrip()]
    lines.append(f"  - all ({part.confidence or 'not graded'}): {part.source}")
    for key in BLOCKS:
        block = getattr(part, key)
        if not isinstance(block, Sourced):
            continue
        date = f"{part.price.date}. " if key == "price" and part.price else ""
        source = "" if block.source == part.source else f" {block.source}."
        if source or date or block.note or block.confidence != part.confidence:
            note = f" {date}{one_line(block.note)}".rstrip()
            lines.append(f"  - {key} ({block.confidence or 'not graded'}):{source}{note}")
    return lines
