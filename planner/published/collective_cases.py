"""Published collectives in our words: operation, bytes, a group on a composition of links.

No result is read here.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from hwprofiles.clusters import load_wires
from hwprofiles.errors import ForeplanError
from hwprofiles.transport import PROTOCOLS, Constants, shipped, stack_of
from hwprofiles.units import GB
from planner.policies.base import BEST, call_s
from planner.published.collective_rows import operation_of
from planner.published.names import NOTHING, Unsaid
from planner.transport_groups import (
    domain_size,
    group_of,
    lane,
    network_lane,
    nics,
)
from planner.transport_law import Group, Lane, Way, ways

BITS = 8
RATES = {"G": GB, "T": 1000 * GB}
COUNTED = (
    "(?<![0-9a-wyz.])([0-9]{1,2}) ?x(?=[ 0-9])",
    r"\bx ?([0-9]{1,2})\b",
    r"\b([0-9]{1,2}) (?:hca|nic|rail)s?\b",
)
"""How tables write a number of NICs: before their rate, behind it, or in a word."""
NAMED_WIRES = r"(?i)\bnv(?=[0-9])"
"""How ``nvidia-smi topo`` calls NVLink, before the number of wires."""
SINGLE = r"(?i)[efhnx]dr|connectx|\bcx|aries|slingshot"
"""Words by which a network without a number or a rate says what its one NIC is."""
GENERATION = r"(?i)[efhnx]dr|connectx|\bcx|quantum|efa ?v?[1-4]\b(?! ?x)"
"""Words by which a network says of which generation it is; without, it is the system's own."""
FAST_BYTES_PER_S = 200 * GB / BITS
"""Ethernet of so much a NIC is used by RDMA, unless sockets are named: they do not fill it."""
TOGETHER = {"dual": 2, "two": 2, "quad": 4, "four": 4, "eight": 8}
WHOLE = 2.5
"""A rate without a number of NICs that is so many times one of the system's is that of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveCase:
    """One published call."""

    operation: str
    payload_bytes: int
    group: Group
    system: str
    algorithm: str | None = None
    """Where the row says which one was forced."""
    protocol: str | None = None
    assumed: Mapping[str, Any] = field(default_factory=dict)
    """What the row leaves unsaid, by column."""

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks that it goes through, from the inside."""
        return self.group.stacks

    def ways(self) -> list[Way]:
        """Return the ways in which the library can run it."""
        found = ways(self.operation, self.payload_bytes, self.group, self.algorithm)
        forced = [way for way in found if self.protocol in (None, way.protocol)]
        return forced or found

    def predicted_s(self, constants: Constants | None = None, policy_name: str = BEST) -> float:
        """Return the time of the way that a policy takes; of all ways by default the cheapest.

        ``constants`` take the place of the shipped. Where a protocol was forced the cheapest of its
        ways is taken, whatever the policy.
        """
        if self.protocol:
            return min(way.time_s(constants or shipped()) for way in self.ways())
        return call_s(
            self.operation,
            self.payload_bytes,
            self.group,
            constants or shipped(),
            name=policy_name,
            algorithm=self.algorithm,
        )


class Unstated(Unsaid):
    """The row does not say what fabric it ran on."""


@cache
def _names() -> Mapping[str, Any]:
    path = Path(__file__).with_name("collective_names.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def express(told: Mapping[str, str]) -> CollectiveCase:
    """Return the call that a row tells of.

    Raises
    ------
    Unstated
        When the fabric is not stated.
    Unsaid
        With the reason, when another field is not stated or names what is not built in.
    """
    choice = _system(told)
    operation = operation_of(told.get("collective", ""))
    if operation is None:
        raise Unsaid(f"collective {told.get('collective', '')!r} is not known")
    payload_bytes, ranks = _whole("bytes", told), _whole("devices", told)
    assumed: dict[str, Any] = {}
    try:
        system = choice.get("cluster", "")
        if not system or ("link" in choice and ranks > domain_size(system)):
            group, system = _by_link(choice, ranks, told), choice.get("link", "")
        else:
            domains = _domains(told, choice, ranks, assumed)
            between = _between(told, choice, domains) if domains > 1 else None
            group = group_of(system, ranks, domains, between)
        case = CollectiveCase(
            operation=operation,
            payload_bytes=payload_bytes,
            group=group,
            system=system,
            algorithm=_names()["algorithms"].get(_letters(told.get("algorithm", ""))),
            protocol=_protocol(told.get("protocol", "")),
            assumed=assumed,
        )
        case.ways()
    except ForeplanError as error:
        raise Unsaid(str(error)) from error
    return case


def _system(told: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the entry of the system that a row names."""
    system, inside, devices = (told.get(key, "") for key in ("system", "intra_link", "devices"))
    inside = re.sub(NAMED_WIRES, "nvlink nv", inside)
    ranks = int(devices) if devices.isdigit() else 0
    for choice in _names()["systems"]:
        is_named = _found(choice.get("system", ""), system)
        is_joined = _found(choice.get("inside", ""), inside) and ranks <= choice.get("most", ranks)
        if is_named and is_joined:
            if "unstated" in choice:
                raise Unstated(choice["unstated"])
            found: Mapping[str, Any] = choice
            return found
    if devices and devices == told.get("nodes", ""):
        return {}  # one a node, so nothing is inside
    if inside.lower() in NOTHING:
        raise Unstated("intra_link is not stated")
    raise Unsaid(f"a system {system!r} with {inside!r} is not built in")


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _by_link(choice: Mapping[str, Any], ranks: int, told: Mapping[str, str]) -> Group:
    """Return ranks that wires of one part join in a node, where no system is built in."""
    nodes = _whole("nodes", told) if told.get("inter_link", "").lower() not in NOTHING else 1
    if ranks % nodes:
        raise Unsaid(f"{ranks} devices do not fill {nodes} nodes evenly")
    inside = None
    if ranks > nodes:
        port = load_wires(choice["link"]).bandwidth_bytes_per_s
        stack = choice.get("stack") or stack_of(choice["link"])
        inside = lane(str(stack), port * choice.get("wires", 1), port)
    between = _between(told, choice, nodes) if nodes > 1 else None
    if nodes == ranks == 1:
        raise Unsaid("one device has nobody to send to")
    return Group(ranks=ranks, domains=nodes, inside=inside, between=between)


def _domains(
    told: Mapping[str, str], choice: Mapping[str, Any], ranks: int, assumed: dict[str, Any]
) -> int:
    """Return over how many domains the ranks are spread.

    Nodes of a rack are one domain. Where the ranks do not fill the nodes that are stated evenly,
    they fill whole ones.
    """
    least = -(-ranks // domain_size(choice["cluster"]))
    nodes = told.get("nodes", "")
    if choice.get("rack"):
        return least
    if nodes.isdigit() and int(nodes) >= least:
        return int(nodes) if ranks % int(nodes) == 0 else least
    if least > 1 and not nodes.isdigit():
        assumed["nodes"] = least
    return least


def network_named(text: str) -> str:
    """Return the link part of the network that a row names."""
    part = next((n.get("part") for n in _names()["networks"] if _found(n["link"], text)), None)
    if part is None:
        raise Unsaid(f"inter_link {text!r} is not built in")
    is_socket = _found("tcp|socket|\\bena\\b|gvnic", text)
    if stack_of(part) == "ethernet" and stated_nics(text)[1] >= FAST_BYTES_PER_S and not is_socket:
        return "roce-400g"
    return str(part)


def _network_kind(text: str) -> tuple[str, float]:
    """Return the stack of the network that a row names, and the rate of the NIC of its part."""
    part = network_named(text)
    return str(stack_of(part)), load_wires(part).bandwidth_bytes_per_s


def _between(told: Mapping[str, str], choice: Mapping[str, Any], domains: int) -> Lane:
    """Return the NICs of one domain that a row names."""
    system = choice.get("cluster", "")
    text = told.get("inter_link", "")
    if text.lower() in NOTHING:
        raise Unstated("inter_link is not stated")
    stack, usual = _network_kind(text)
    own = network_lane(system) if system and nics(system) else None
    counts, rate = stated_nics(text)
    is_own = own is not None and own.stack.partition("-")[0] == stack.partition("-")[0]
    if own and is_own and not _found(GENERATION, text):
        stack = own.stack
    if rate:
        nic = rate
    elif own and stack == own.stack:
        nic = own.port_bytes_per_s * choice.get("nic_rate", 1.0)
    else:
        nic = usual
    alone = int(rate > 0 or _found(SINGLE, text))
    ports = counts or (round(own.bytes_per_s / own.port_bytes_per_s) if own else alone)
    if not ports:
        raise Unsaid(f"inter_link {text!r} states no number of NICs")
    if own and not counts and nic > WHOLE * own.port_bytes_per_s:
        nic /= ports  # of all of them together
    if not system:
        return lane(stack, nic * ports, nic)
    whole = float(ports)
    if choice.get("rack") and counts:  # those of one tray
        whole *= _whole("nodes", told) // domains
    elif counts:  # those of a node with fewer devices are near to all of them
        whole *= domain_size(system) / _node_size(choice, told)
    return lane(stack, nic * whole, nic * max(1, int(whole) // domain_size(system)))


def _node_size(choice: Mapping[str, Any], told: Mapping[str, str]) -> int:
    """Return how many devices a node has: as the row says, such as "(4x A100)", or the system."""
    size = domain_size(choice["cluster"])
    stated = re.search(r"(?<![0-9a-z.])([1-9][0-9]?) ?x +[a-z]", told.get("system", ""), re.I)
    return min(size, choice.get("node") or (int(stated[1]) if stated else size))


def stated_nics(text: str) -> tuple[int, float]:
    """Return how many NICs of what rate a row states, 0 for what it does not.

    >>> stated_nics("EFA 32x100Gbps (3200 Gbps)"), stated_nics("RoCE 8x2x200 Gb/s")
    ((32, 12500000000.0), (16, 25000000000.0))
    >>> stated_nics("EFA v4 8x50GB/s per node"), stated_nics("InfiniBand NDR")
    ((8, 50000000000.0), (0, 0.0))
    >>> stated_nics("HDR100 x4"), stated_nics("dual-rail EDR"), stated_nics("25GbE")
    ((4, 12500000000.0), (2, 0.0), (0, 3125000000.0))
    >>> stated_nics("RDMA 16x100"), stated_nics("4 NICs of 3.2 Tb/s")
    ((16, 12500000000.0), (4, 400000000000.0))
    """
    text = re.sub("[\u00d7*]", "x", text)
    counts = next(filter(None, (re.findall(how, text, re.I) for how in COUNTED)), [])
    words = [number for word, number in TOGETHER.items() if _found(rf"\b{word}\b", text)]
    counts = [int(count) for count in counts] or words
    rate = re.search(r"([0-9]+(?:\.[0-9]+)?) ?([GT])(b|B|\b)", text)
    named = re.search(r"(?:[ehnx]dr-?|x ?)([1-9]0*0|25)(?![0-9])", text, re.I)
    if rate:
        found = float(rate[1]) * RATES[rate[2]] / (1 if rate[3] == "B" else BITS)
    else:
        found = float(named[1]) * GB / BITS if named else 0.0
    return prod(counts) if counts else 0, found


def _letters(told: str) -> str:
    """Return what a row states in lower case letters alone; a guess or a range of sizes is none."""
    return re.sub("[ _+-]", "", told.lower())


def _protocol(told: str) -> str | None:
    name = _letters(told)
    return name if name in PROTOCOLS else None


def _whole(column: str, told: Mapping[str, str]) -> int:
    text = told.get(column, "")
    if not text.isdigit() or not int(text):
        raise Unsaid(f"{column} is {f'{text!r}, no whole number' if text else 'not stated'}")
    return int(text)
