"""A cluster as a picture: boxes, and lines as wide as their bandwidth, with a legend of links."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from hwprofiles.cluster import Cluster
from hwprofiles.fabrics.base import Node
from hwprofiles.link import Link
from hwprofiles.tiers import format_rate
from reports.canvas import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PINK, RC
from reports.fabric_layout import panels
from reports.fabric_panel import Panel, Spot

LINK_COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, GREY)
FILLS = {
    "device": "#cfe6f5",
    "nic": "#fde3c0",
    "switch": "#d5efe4",
    "socket": "#eadcf0",
    "node": "#cfe6f5",
}
Key = tuple[str, float]
"""Name and bandwidth: links that differ in neither look alike."""
IN_PER_UNIT, HIGH_IN = 0.62, 0.3
HALF_HIGH = HIGH_IN / IN_PER_UNIT / 2
LABEL_IN = 0.075  # width of one character at 8 points
PAGE_IN, LEAST_IN = 13.5, 3.6
TITLE_IN, HEADING_IN, NOTE_IN, LEGEND_IN = 0.5, 0.35, 0.2, 0.19
NEAR = 0.36
"""Where on a line its number is written."""
MANY, THINNEST = 24, 0.5
"""So many wires are drawn at full width; of more each is thinner, down to a share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a wire looks, and the number beside it."""

    style: dict[str, Any]
    text: str = ""


class Look:
    """What wires and boxes look like: here by the kind of link, the wider the more bandwidth."""

    def panels(self, cluster: Cluster) -> list[Panel]:
        """Return the parts of the cluster that are drawn."""
        return panels(cluster)

    def line(self, panel: Panel, start: Node, end: Node | None, link: Link) -> Line:
        """Return how the wire between two boxes looks; a stub has one."""
        del start, end
        links = _links(panel)
        return Line(style=_style(_key(link), links, len(panel.pairs)))

    def legend(self, panel: Panel) -> list[tuple[dict[str, Any], str]]:
        """Return a line and its words for each entry."""
        links = _links(panel)
        return [(_style(link, links, len(panel.pairs)), _label(link)) for link in links]

    def fill(self, kind: str) -> str:
        """Return the colour of a kind of box, and of the paper for ``paper``."""
        return FILLS.get(kind, "white")


@style.context(RC, after_reset=True)
def draw_cluster(cluster: Cluster, look: Look | None = None) -> Figure:
    """Return the picture of a cluster: a panel for each of its parts, innermost first.

    Bandwidths are those of one direction. Of a big system one node is drawn, and of long rows the
    ends; the number between them is written out.
    """
    look = look or Look()
    parts = look.panels(cluster)
    sizes = [_size_in(panel, look) for panel in parts]
    rows = _rows(sizes)
    widest = max((sum(sizes[i][0] for i in row) for row in rows), default=LEAST_IN)
    heights = [max(sizes[i][1] for i in row) for row in rows]
    figure = Figure(figsize=(widest, sum(heights) + TITLE_IN))
    figure.suptitle(
        f"{cluster.name}: {len(cluster.devices)} devices",
        fontsize=12,
        y=1 - 0.5 * TITLE_IN / figure.get_figheight(),
        va="center",
    )
    top = figure.get_figheight() - TITLE_IN
    for row, height in zip(rows, heights, strict=True):
        left = (widest - sum(sizes[i][0] for i in row)) / 2
        for i in row:
            width, own = sizes[i]
            below = _below_in(parts[i], look)
            bounds = (left, top - own + below, width, own - below - HEADING_IN)
            box = [
                inches / (widest, figure.get_figheight())[j % 2] for j, inches in enumerate(bounds)
            ]
            _draw(figure.add_axes((box[0], box[1], box[2], box[3])), parts[i], bounds[3], look)
            left += width
        top -= height
    return figure


def _rows(sizes: Sequence[tuple[float, float]]) -> list[list[int]]:
    """Put panels beside each other while the page is wide enough, then below."""
    rows: list[list[int]] = []
    for i, (width, _) in enumerate(sizes):
        if rows and sum(sizes[j][0] for j in rows[-1]) + width <= PAGE_IN:
            rows[-1].append(i)
        else:
            rows.append([i])
    return rows


def save(figure: Figure, path: Path) -> None:
    """Write a picture; the ending of ``path`` says the format.

    Raises
    ------
    RecordError
        The ending is no format that can be written.
    """
    from hwprofiles.errors import RecordError

    known = sorted(figure.canvas.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in known:
        raise RecordError(
            f"{path}: expected an ending of {', '.join(known)}, got {path.suffix!r}; name another"
        )
    figure.savefig(path, dpi=150)


def _size_in(panel: Panel, look: Look) -> tuple[float, float]:
    """Return how many inches a panel needs: for its boxes, its words and its legend."""
    xs = [spot.x for spot in panel.spots.values()]
    ys = [spot.y for spot in panel.spots.values()]
    words = [panel.title, panel.note, *(f"{text}     " for _, text in look.legend(panel))]
    least = max(LEAST_IN, LABEL_IN * 1.1 * max(map(len, words)) + 0.3)
    inner = max(1.2, (max(ys) - min(ys) + 1.4) * IN_PER_UNIT)
    width = (max(xs) - min(xs) + 2) * _unit_in(panel)
    return max(least, width), inner + HEADING_IN + _below_in(panel, look)


def _below_in(panel: Panel, look: Look) -> float:
    """Return the height of what is written below the boxes."""
    return 0.25 + (NOTE_IN if panel.note else 0) + LEGEND_IN * len(look.legend(panel))


def _unit_in(panel: Panel) -> float:
    """Return how wide a unit must be for the longest label of a row not to touch the next."""
    longest = max(
        (len(line) for spot in panel.spots.values() if not spot.width for line in _lines(spot)),
        default=1,
    )
    return max(0.42, LABEL_IN * longest + 0.2)


def _lines(spot: Spot) -> list[str]:
    return spot.label.split("\n")


def _draw(axes: Axes, panel: Panel, height_in: float, look: Look) -> None:
    for start, end, link in panel.pairs:
        a, b = panel.spots[start], panel.spots[end]
        rise = (HALF_HIGH if b.y > a.y else -HALF_HIGH) if panel.layered and a.y != b.y else 0.0
        xs, ys = [_meet(a, b), _meet(b, a)], [a.y + rise, b.y - rise]
        line = look.line(panel, start, end, link)
        axes.plot(xs, ys, zorder=1, **line.style)
        if line.text:
            _number(axes, xs, ys, line.text, look.fill("paper"))
    for node, (dx, dy), link in panel.stubs:
        spot = panel.spots[node]
        ends = [spot.x, spot.x + 0.62 * dx], [spot.y, spot.y + 0.62 * dy]
        line = look.line(panel, node, None, link)
        axes.plot(*ends, zorder=1, **{**line.style, "linestyle": (0, (2, 1))})
    for spot in panel.spots.values():
        _box(axes, spot, _unit_in(panel), look)
    xs = [spot.x for spot in panel.spots.values()]
    ys = [spot.y for spot in panel.spots.values()]
    axes.set_xlim(min(xs) - 1, max(xs) + 1)
    axes.set_ylim(min(ys) - 0.7, max(ys) + 0.7)
    axes.axis("off")
    axes.set_title(panel.title, fontsize=10)
    if panel.note:
        axes.annotate(
            panel.note, (0.5, 0), xycoords="axes fraction", ha="center", va="top", fontsize=8
        )
    entries = look.legend(panel)
    axes.legend(
        [Line2D([], [], **drawn) for drawn, _ in entries],
        [text for _, text in entries],
        loc="upper center",
        bbox_to_anchor=(0.5, -(NOTE_IN if panel.note else 0) / height_in),
        frameon=False,
        fontsize=8,
    )


def _number(axes: Axes, xs: Sequence[float], ys: Sequence[float], text: str, paper: str) -> None:
    """Write a number on a line: nearer to its lower end, where lines of a tree are apart."""
    low = NEAR if ys[0] <= ys[1] else 1 - NEAR
    x, y = (ends[0] + low * (ends[1] - ends[0]) for ends in (xs, ys))
    box = {"facecolor": paper, "edgecolor": "none", "pad": 0.8}
    axes.text(x, y, text, ha="center", va="center", fontsize=7.5, zorder=4, bbox=box)


def _style(link: Key, links: Sequence[Key], wires: int) -> dict[str, Any]:
    """Return how lines of a link look: wider with bandwidth, all thinner where there are many."""
    most = max(rate for _, rate in links)
    width = 0.5 + 3.0 * (link[1] / most) ** 0.5
    return {
        "color": LINK_COLOURS[links.index(link) % len(LINK_COLOURS)],
        "linewidth": width * min(1.0, max(THINNEST, (MANY / max(1, wires)) ** 0.5)),
        "solid_capstyle": "butt",
    }


def _meet(spot: Spot, other: Spot) -> float:
    """Return where a line to ``other`` leaves a spot: of a bar, straight above it."""
    half = spot.width / 2
    return min(max(other.x, spot.x - half), spot.x + half) if half else spot.x


def _box(axes: Axes, spot: Spot, unit_in: float, look: Look) -> None:
    if spot.kind == "fold":
        paper = {"facecolor": look.fill("paper"), "edgecolor": "none", "pad": 1.5}
        axes.text(spot.x, spot.y, spot.label, ha="center", va="center", fontsize=8, bbox=paper)
        return
    lines = _lines(spot)
    width = spot.width or (LABEL_IN * max(map(len, lines)) + 0.1) / unit_in
    height = (HIGH_IN + 0.14 * (len(lines) - 1)) / IN_PER_UNIT
    axes.add_patch(
        FancyBboxPatch(
            (spot.x - width / 2, spot.y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=look.fill(spot.kind),
            edgecolor=INK,
            linewidth=0.6,
            zorder=2,
        )
    )
    axes.text(
        spot.x, spot.y, spot.label, ha="center", va="center", fontsize=8, zorder=3, parse_math=False
    )


def _links(panel: Panel) -> list[Key]:
    """Return each kind of link of a panel once, the widest first."""
    found = [pair[2] for pair in panel.pairs] + [stub[2] for stub in panel.stubs]
    return sorted({_key(link) for link in found}, key=lambda kind: (-kind[1], kind[0]))


def _key(link: Link) -> Key:
    return link.name, link.bandwidth_bytes_per_s


def _label(link: Key) -> str:
    name, rate = link
    return f"{name}: {format_rate(rate)} per direction"
