"""The catalogue as a page: every shipped device, link and system with sources and confidence.

``python -m hwprofiles.catalogue > docs/hardware.md`` writes the page anew; a test holds it fresh.
"""

import sys
from collections.abc import Mapping

from hwprofiles.catalogue_systems import system_lines
from hwprofiles.facts import DevicePart, LinkPart, Sourced
from hwprofiles.markdown import aliases, doubt, number, one_line, table
from hwprofiles.parts import device_facts, link_facts, part_names
from hwprofiles.units import GB

COMMAND = "python -m hwprofiles.catalogue > docs/hardware.md"
KINDS = {
    "gpu": "GPUs",
    "tpu": "TPUs and other accelerators built round a matrix unit",
    "cpu": "CPUs, one socket each",
}
LINK_KINDS = {
    "scale-up": "Between the devices of a machine",
    "switch": "From a device to the switches of its machine",
    "host": "To the host",
    "socket": "Between the sockets of a host",
    "scale-out": "Between machines",
}
RATES = {
    "float64": "f64",
    "float32": "f32",
    "tf32": "tf32",
    "float16": "f16",
    "bfloat16": "bf16",
    "fp8": "fp8",
    "int8": "int8",
    "fp4": "fp4",
}
INTRODUCTION = f"""# Hardware catalogue

Every device, link and system that has a name. A name or an alias goes wherever a part is asked for,
such as `part = "h100"` in a cluster file, or `foreplan plan MODEL dgx-h100:4`; `foreplan hw show
NAME` prints one. This page is made from the files in `hwprofiles/data` by
`{COMMAND}`.

How to read it:
- Rates are dense peaks in TFLOP/s (int8: TOP/s) at the vendor's clock, of a CPU at its base clock.
  Bold is the matrix unit's rate, plain the vector unit's; a dtype with a bold rate alone computes
  all but products in float32. Of TPU, Trainium and Gaudi only the matrix unit's are published.
  On GeForce cards the matrix rates are those with sums in float32, which training needs.
- Bandwidths are in GB/s (10^9 bytes) and count one direction. Vendors like to print both together.
- Memory is what a plan may fill, in GB (10^9 bytes): what software sees where a source says it,
  else by the rule in the notes.
- An empty cell is not known: a plan that needs it is refused, nothing is guessed.
- Confidence: *high* has two sources or the vendor's own page, *medium* one mirror or arithmetic,
  *low* is recalled or assumed. Cells marked `?` are low.
- Prices are for one device for one hour, at the date in the notes. Ask again before you spend.
"""


def page() -> str:
    """Return the text of ``docs/hardware.md``."""
    devices = {name: device_facts(name) for name in part_names("device")}
    links = {name: link_facts(name) for name in part_names("link")}
    lines = [*device_lines(devices), *link_lines(links), "", *system_lines()]
    return "\n".join([INTRODUCTION, *lines])


def device_lines(devices: Mapping[str, DevicePart]) -> list[str]:
    """Return the sections on devices, by kind: rates, then what is outside them, then sources."""
    lines: list[str] = []
    for kind, heading in KINDS.items():
        some = {name: device for name, device in devices.items() if device.kind == kind}
        lines += [f"## {heading}", "", "### Rates", ""]
        rates = [dtype for dtype in RATES if any(_rate(d, dtype) for d in some.values())]
        head = ["name", "year", *(RATES[dtype] for dtype in rates), "best bf16 product measured"]
        rows = [
            [f"`{name}`", str(d.year), *(_rate(d, dtype) for dtype in rates), _measured(d)]
            for name, d in some.items()
        ]
        lines += [*table(head, rows), "", "### Memory, links, power, price", ""]
        head = ["name", "memory GB", "GB/s", "host", "host GB/s", "peers", "peers GB/s", "W", "$/h"]
        lines += [*table(head, [[f"`{n}`", *_outside(d)] for n, d in some.items()]), ""]
        lines += ["### Sources", ""]
        for name, device in some.items():
            lines += _device_sources(name, device)
        lines.append("")
    return lines


def link_lines(links: Mapping[str, LinkPart]) -> list[str]:
    """Return the sections on links, by kind."""
    lines = [
        "## Links",
        "",
        "Raw bandwidth is what the wire carries after line coding; achievable",
        "",
    ]
    lines[2] += (
        " is raw times the measured share, empty where nothing was measured. Latency is that"
    )
    lines[2] += " of a small message over one link."
    for kind, heading in LINK_KINDS.items():
        some = {name: link for name, link in links.items() if link.kind == kind}
        lines += [f"### {heading}", ""]
        head = ["name", "links", "raw GB/s", "share", "achievable GB/s", "latency us", "confidence"]
        rows = [
            [
                f"`{name}`",
                str(link.links),
                number(link.bandwidth_gb_per_s),
                number(link.efficiency),
                number(link.achievable_gb_per_s),
                number(link.latency_us),
                link.confidence or "",
            ]
            for name, link in some.items()
        ]
        lines += [*table(head, rows), ""]
        for name, link in some.items():
            told = [aliases(link.aliases), f"Source: {link.source}."]
            told += [f"Share {link.efficiency_basis}."] if link.efficiency_basis else []
            told += [f"Latency: {link.latency_basis}."]
            if link.endpoint_us:
                told += [f"A device adds {number(link.endpoint_us)} us: {link.endpoint_basis}."]
            told += [one_line(link.note)]
            lines.append(f"- `{name}`: {link.title}. {' '.join(text for text in told if text)}")
        lines.append("")
    return lines[:-1]


def _rate(device: DevicePart, dtype: str) -> str:
    """Return the vector unit's rate, and the matrix unit's in bold."""
    unit = "top_per_s" if dtype == "int8" else "tflop_per_s"
    vector = getattr(device.peak, f"{dtype}_{unit}")
    matrix = getattr(device.peak, f"{dtype}_matrix_{unit}")
    cells = [number(vector)] if vector else []
    cells += [f"**{number(matrix)}**"] if matrix else []
    return " ".join(cells) + doubt(device.peak if cells else None)


def _measured(device: DevicePart) -> str:
    return number(device.measured.bfloat16_matmul_tflop_per_s) if device.measured else ""


def _outside(device: DevicePart) -> list[str]:
    """Return all cells but rates."""
    host, peers, power, price = device.host, device.scale_up, device.power, device.price
    capacity = number(device.memory.total_bytes / GB) + doubt(device.memory)
    return [
        capacity,
        number(device.memory.bandwidth_gb_per_s),
        host.interface if host else "",
        number(host.bandwidth_gb_per_s) + doubt(host) if host else "",
        f"{peers.links} x {peers.interface}" if peers else "",
        number(peers.total_gb_per_s) + doubt(peers) if peers else "",
        number(power.board_w) + doubt(power) if power else "",
        number(price.usd_per_h) + doubt(price) if price else "",
    ]


def _device_sources(name: str, device: DevicePart) -> list[str]:
    """Return one item a device: what it is, then its blocks, those of one source together."""
    blocks = {
        key.replace("_", " "): block
        for key in type(device).model_fields
        if isinstance(block := getattr(device, key), Sourced) and key != "execution"
    }
    by_source: dict[tuple[str, str], list[str]] = {}
    for key, block in blocks.items():
        by_source.setdefault((block.source, block.confidence or "not graded"), []).append(key)
    told = [aliases(device.aliases), one_line(device.note)]
    lines = [f"- `{name}`: {device.title}. {' '.join(text for text in told if text)}".rstrip()]
    for (source, confidence), keys in by_source.items():
        lines.append(f"  - {', '.join(keys)} ({confidence}): {source}")
    for key, block in blocks.items():
        date = f"{device.price.date}. " if key == "price" and device.price else ""
        if text := date + one_line(block.note):
            lines.append(f"  - *{key}*: {text.rstrip()}")
    return lines


if __name__ == "__main__":
    sys.stdout.write(page() + "\n")
