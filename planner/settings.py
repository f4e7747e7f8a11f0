"""Settings: a small language that changes the hardware of a plan file, and what it changes.

A setting is ``NAME=VALUE``. A value is a factor (``2x``) or an amount with its unit (``25GB/s``,
``200Gb/s``, ``1.8us``, ``80GB``). What a setting changes nobody has measured: it gets the grade
``datasheet``. What it leaves as it was keeps its grade, so a factor of one changes nothing.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwprofiles.calibration import OpSample
from hwprofiles.device import Device, Efficiency
from hwprofiles.errors import PlanError, UnitError
from hwprofiles.grade import Grade
from hwprofiles.link import Link
from hwprofiles.units import parse_bytes, parse_bytes_per_s, parse_s
from planner.records import ClusterRecord
from planner.wires import TIERS, WireName, name_wires

LINK_KEYS: Mapping[str, Callable[[str], float]] = {
    "bandwidth": parse_bytes_per_s,
    "latency": parse_s,
}
"""Keys of links, and how an amount of each is read. The cap of one flow scales as the bandwidth."""
DEVICE_KEYS: Mapping[str, Callable[[str], float] | None] = {
    "speed": None,
    "flops": None,
    "memory-bandwidth": parse_bytes_per_s,
    "launch": parse_s,
    "memory": parse_bytes,
}
"""Keys of devices. Those without a reader take factors alone: a device has a rate for each dtype.
``speed`` divides the time of every op, launch included."""
MAY_BE_ZERO = ("latency", "launch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One change of the hardware."""

    scope: str
    """``intra``, ``inter``, ``link`` or ``device``."""
    part: str
    """Name of a link or of a device; empty for all of them."""
    key: str
    factor: float | None = None
    amount: float | None = None
    """Where there is no factor: the new value, SI."""

    def new(self, old: float) -> float:
        """Return the new value of what was ``old``."""
        return old * self.factor if self.factor is not None else self.amount or 0.0

    @property
    def name(self) -> str:
        """What stands before the equals sign."""
        scope = "" if self.scope == "link" and not self.part else self.scope
        return ".".join(word for word in (scope, self.part, self.key) if word)


def parse_setting(text: str, records: Iterable[ClusterRecord]) -> Setting:
    """Read ``NAME=VALUE`` for the hardware in ``records``.

    Raises
    ------
    PlanError
        Naming what may be set, when the name is not one of those, or the value cannot be read.
    """
    name, equals, value = text.rpartition("=")
    known = setting_names(records)
    if not equals or name.strip() not in known:
        near = difflib.get_close_matches(name.strip(), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PlanError(
            f"--set {text!r}: expected NAME=VALUE with a name of this plan file; {hint}known:"
            f" {', '.join(known)}"
        )
    words = name.strip().split(".")
    scope = words[0] if len(words) > 1 else "link"
    part, key = ".".join(words[1:-1]), words[-1]
    reader = (DEVICE_KEYS if scope == "device" else LINK_KEYS)[key]
    factor, amount = _value(text, value.strip(), key, reader)
    return Setting(scope=scope, part=part, key=key, factor=factor, amount=amount)


def setting_names(records: Iterable[ClusterRecord]) -> list[str]:
    """Return every name that may be set; of links only those that the cluster has."""
    found: dict[str, None] = {}
    for record in records:
        wires = wires_of(record)
        links = {wire.link.name: None for wire in wires}
        tiers = [tier for tier in TIERS if any(wire.tier == tier for wire in wires)]
        scopes = ["", *tiers, *(f"link.{name}" for name in links)] if wires else []
        found |= {f"{scope}.{key}".strip("."): None for scope in scopes for key in LINK_KEYS}
        devices = ["device", *(f"device.{kind.name}" for kind in record.device_kinds)]
        found |= {f"{scope}.{key}": None for scope in devices for key in DEVICE_KEYS}
    return list(found)


def _value(
    text: str, value: str, key: str, reader: Callable[[str], float] | None
) -> tuple[float | None, float | None]:
    """Return (factor, None) or (None, amount)."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*x", value):
        factor = float(match[1])
        if not (factor > 0 and math.isfinite(factor)):
            raise PlanError(f"--set {text!r}: expected a factor above 0, got {value!r}; give 2x")
        return factor, None
    if reader is None:
        raise PlanError(f"--set {text!r}: {key} takes a factor, got {value!r}; give 2x or 0.5x")
    try:
        amount = float(reader(value))
    except UnitError as error:
        _, _, wanted = str(error).rpartition(": expected ")
        raise PlanError(
            f"--set {text!r}: expected a factor such as 2x, or {wanted}; got {value!r}"
        ) from error
    if not math.isfinite(amount) or amount < 0 or (amount == 0 and key not in MAY_BE_ZERO):
        raise PlanError(f"--set {text!r}: expected more than 0, got {value!r}; give another value")
    return None, amount


def wires_of(record: ClusterRecord) -> tuple[WireName, ...]:
    """Return every wire of a recorded cluster, in the order of its links."""
    return name_wires(record.edges, record.links, record.routing)


def change(
    records: Mapping[int, ClusterRecord], settings: Sequence[Setting]
) -> dict[int, ClusterRecord]:
    """Return the records with every setting applied, one after the other."""
    return {key: _change_record(record, settings) for key, record in records.items()}


def _change_record(record: ClusterRecord, settings: Sequence[Setting]) -> ClusterRecord:
    for setting in settings:
        if setting.scope == "device":
            record = _change_devices(record, setting)
        else:
            record = _change_links(record, setting)
    return record


def _change_links(record: ClusterRecord, setting: Setting) -> ClusterRecord:
    wires = wires_of(record)
    links = [_change_link(w.link, setting) if _hits(setting, w) else w.link for w in wires]
    distinct = list(dict.fromkeys(links))
    place = {link: i for i, link in enumerate(distinct)}
    edges = tuple((w.start, w.end, place[x]) for w, x in zip(wires, links, strict=True))
    return replace(record, links=tuple(distinct), edges=edges)


def _hits(setting: Setting, wire: WireName) -> bool:
    if setting.scope == "link":
        return setting.part in ("", wire.link.name)
    return setting.scope == wire.tier


def _change_link(link: Link, setting: Setting) -> Link:
    if setting.key == "bandwidth":
        old = link.bandwidth_bytes_per_s
        new, cap = setting.new(old), link.flow_cap_bytes_per_s
        changed = replace(
            link,
            bandwidth_bytes_per_s=new,
            flow_cap_bytes_per_s=cap if new == old else cap * (new / old),
        )
    elif setting.factor is not None:
        points = tuple((size, seconds * setting.factor) for size, seconds in link.overheads)
        changed = replace(link, overheads=points)
    else:
        first = link.overheads[0][1]
        points = tuple((size, setting.new(first) + (s - first)) for size, s in link.overheads)
        changed = link if points[0][1] == first else replace(link, overheads=points)
    return link if changed == link else replace(changed, grade=Grade.DATASHEET)


def _change_devices(record: ClusterRecord, setting: Setting) -> ClusterRecord:
    kinds, ops = [], dict(record.ops)
    for old in record.device_kinds:
        new = _change_device(old, setting) if setting.part in ("", old.name) else old
        kinds.append(new)
        if new is not old and old.name in ops:
            ops[old.name] = tuple(_change_op(op, old, new, setting) for op in ops[old.name])
    return replace(record, device_kinds=tuple(kinds), ops=ops)


def _change_device(device: Device, setting: Setting) -> Device:
    """Return the device as set; the rates of its fitted curves follow those of the device.

    What published runs reach of a device says nothing of another one: those fractions are taken
    over, as from one generation to the next.
    """
    flops = setting.factor or 1.0 if setting.key in ("speed", "flops") else 1.0
    memory = moved = overhead = 1.0
    launch_s, known = device.launch_overhead_s, device.efficiency
    if setting.key == "speed":
        moved, overhead = flops, 1 / flops
        launch_s = launch_s / flops
    elif setting.key == "memory-bandwidth":
        moved = setting.new(device.memory_bytes_per_s) / device.memory_bytes_per_s
    elif setting.key == "launch":
        beside_s = launch_s + (known.kernel_s if known else 0.0)
        overhead = setting.new(beside_s) / beside_s if beside_s else 1.0
        launch_s = launch_s * overhead if beside_s else setting.new(launch_s)
    elif setting.key == "memory":
        memory = setting.new(device.memory_bytes) / device.memory_bytes
    curves = {}
    for name, old in device.curves.items():
        curve = replace(
            old,
            flop_per_s=old.flop_per_s * flops,
            bytes_per_s=old.bytes_per_s * moved,
            overhead_s=old.overhead_s * (overhead if setting.key == "speed" else 1.0),
        )
        curves[name] = old if curve == old else replace(curve, grade=Grade.DATASHEET)
    changed = replace(
        device,
        memory_bytes=round(device.memory_bytes * memory),
        memory_bytes_per_s=device.memory_bytes_per_s * moved,
        peak_flop_per_s={name: rate * flops for name, rate in device.peak_flop_per_s.items()},
        launch_overhead_s=launch_s,
        curves=curves,
        efficiency=known and _with_kernels(known, overhead),
    )
    if changed == device or setting.key == "memory" or not changed.efficiency:
        return device if changed == device else changed
    dtypes = {name.rpartition("/")[2] for name in changed.efficiency.peak_frac}
    unseen = tuple(sorted({*dtypes, *changed.efficiency.elementwise_frac}))
    return replace(changed, efficiency=replace(changed.efficiency, extrapolated=unseen))


def _with_kernels(known: Efficiency, ratio: float) -> Efficiency:
    """Return what is reached with kernels that take ``ratio`` as long beside their work."""
    return replace(
        known,
        kernel_s=known.kernel_s * ratio,
        elementwise_kernel_s=known.elementwise_kernel_s * ratio,
    )


def _change_op(op: OpSample, old: Device, new: Device, setting: Setting) -> OpSample:
    """Return a measured op as the new device would take it.

    ASSUMES: a measured time changes as the curve of its class does, which says how far arithmetic,
    memory and a fixed overhead bound it.
    """
    if setting.key == "speed":
        ratio = 1 / (setting.factor or 1.0)
    else:
        work = float(op.flop), float(op.moved_bytes)
        before = old.curve(op.op_class, op.dtype).time_s(*work)
        ratio = new.curve(op.op_class, op.dtype).time_s(*work) / before if before else 1.0
    if ratio == 1.0:
        return op
    return replace(op, median_s=op.median_s * ratio, iqr_s=op.iqr_s * ratio, grade=Grade.DATASHEET)
