"""Boxes and wires of a picture, and rows of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hwprofiles.fabrics.base import Node
from hwprofiles.link import Link

Pair = tuple[Node, Node, Link]
NETWORK = re.compile(r"(leaf|spine|pod|core|group|switch)[0-9]*(\.|$)")
"""Names of what lies between nodes, as the builders of networks give them."""
INSIDE = re.compile(r"node[0-9]+\.")
"""What the names of a node's own switches, sockets and NICs begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One box, or with ``kind == "fold"`` the words for boxes left out."""

    x: float
    y: float
    label: str
    kind: str
    """``device``, ``nic``, ``switch``, ``socket``, ``node`` or ``fold``."""
    width: float = 0.0
    """Of a switch drawn as a bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One part of the picture."""

    title: str
    spots: dict[Node, Spot]
    pairs: list[Pair]
    stubs: list[tuple[Node, tuple[float, float], Link]] = field(default_factory=list)
    """Wires that wrap round: from a node a little way in a direction."""
    note: str = ""
    layered: bool = False
    """Whether lines run from row to row: they then meet boxes above and below."""


def kind_of(node: Node) -> str:
    """Return the kind of box that a node is drawn as."""
    if isinstance(node, int):
        return "device"
    return {"cpu": "socket", "nic": "nic"}.get(re.sub("[0-9.]+$", "", node), "switch")


def by_number(node: Node) -> tuple[int, list[int]]:
    """Devices, then NICs, then switches, each by the numbers in their names."""
    if isinstance(node, int):
        return 0, [node]
    return 1 + (kind_of(node) != "nic"), [int(digits) for digits in re.findall("[0-9]+", node)]


def row_of(
    nodes: Sequence[Node], kind: str, y: float, most: int, span: int = 0
) -> dict[Node, Spot]:
    """Place a row over a width of ``span``; of one longer than ``most`` the ends and how many."""
    keep = list(nodes)
    fold = f"fold {y}"
    if len(nodes) > most:
        keep = [*nodes[: most - 3], fold, *nodes[-2:]]
    span = max(span, len(keep))
    spots: dict[Node, Spot] = {}
    for place, node in enumerate(keep):
        x = (place + 0.5) * span / len(keep)
        spots[node] = Spot(x=x, y=y, label=str(node), kind=kind)
    if fold in spots:
        left = f"{len(nodes) - len(keep) + 1}\nmore"
        spots[fold] = Spot(x=spots[fold].x, y=y, label=left, kind="fold")
    return spots


def shown(pairs: Iterable[Pair], spots: dict[Node, Spot]) -> list[Pair]:
    """Return the wires between boxes that are drawn."""
    return [pair for pair in pairs if pair[0] in spots and pair[1] in spots]


def matches(pattern: re.Pattern[str], node: Node) -> bool:
    """Say whether a name begins as ``pattern`` says; a device has none."""
    return isinstance(node, str) and pattern.match(node) is not None
