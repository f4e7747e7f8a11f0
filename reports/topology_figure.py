"""The map of topologies as a picture: which algorithm is fastest, by ranks and bytes.

A panel is a network; where there are many, numbers of ranks that are powers of two stand in a row
above the others, for halving and doubling is at its best there. A band is one number of ranks, and
its edges are exact. Colours are those of Okabe and Ito; every region is labelled in place.
"""

import textwrap
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from hwprofiles.units import Floats, Ints, format_bytes, format_frac, format_s
from planner.topology import Sample, TopologyMap, remarks
from reports.canvas import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PINK, RC, SKY

COLOURS = {
    "star": AMBER,
    "tree": GREEN,
    "ring": BLUE,
    "halving_doubling": ORANGE,
    "double_binary_tree": PINK,
    "sharded_star": SKY,
    "hierarchical": "#5b3a8e",
    "hierarchical_halving": "#a58bd0",
    "torus": "#7a5230",
    "multi_ring": "#7d7d1c",
    "pipelined_ring": "#00586b",
    "in_network": "#303030",
}
"""By all-reduce, whatever its numbers."""
OTHERS = {
    "all_gather": BLUE,
    "bruck_all_gather": ORANGE,
    "all_to_all": BLUE,
    "bruck_all_to_all": ORANGE,
    "hierarchical_all_to_all": "#5b3a8e",
    "broadcast": GREEN,
    "chain_broadcast": BLUE,
}
"""By algorithm of an operation that has several."""
CLOSE = ((0.01, 0.45), (0.1, 0.72), (np.inf, 1.0))
"""Strength of the colour where the runner-up is slower by less than a share."""
TITLES = ("ranks: powers of two", "ranks: other numbers", "ranks")
ONE_ROW = 8
"""So many numbers of ranks stand in one row, whatever they are."""
LEAST_IN = 6.4
PANEL_IN, HIGH_IN = 4.3, 3.7
CHARACTER_FRAC, LABEL_FRAC = 0.028, 0.15
"""Share of a panel's width that a character takes, and of its height that a label needs: a smaller
region is named in the legend alone."""
MOST_TICKS = 13
CHARACTERS_PER_IN = 15
DARKER = 0.65
LINES_IN = 0.17
Colour = tuple[float, float, float]


def colour_of(name: str) -> str:
    """Return the colour of an algorithm: darker with each doubling of its first number."""
    family, _, numbers = name.partition(":")
    colour = (COLOURS | OTHERS).get(family, GREY)
    first = numbers.partition("x")[0]
    doublings = int(first).bit_length() - 2 if first.isdecimal() else 0
    return to_hex(_darker(colour, DARKER ** max(0, doublings)))


@style.context({**RC, "font.size": 11.0, "axes.spines.top": True, "axes.spines.right": True})
def draw_topology(maps: Sequence[TopologyMap]) -> Figure:
    """Return the picture of maps, beside each other; all have the same sizes."""
    titles = [title for title in TITLES if any(_columns(found, title) for found in maps)]
    width_in = max(LEAST_IN, 0.9 + PANEL_IN * len(maps))
    figure = Figure(figsize=(width_in, 1.4 + HIGH_IN * len(titles)))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    grid = figure.subplots(len(titles), len(maps), squeeze=False, sharex=True)
    for axes_row, title in zip(grid, titles, strict=True):
        for axes, found in zip(axes_row, maps, strict=True):
            if columns := _columns(found, title):
                _panel(axes, found, columns)
            else:
                axes.set_axis_off()
        axes_row[0].set_ylabel(title)
    for axes, found in zip(grid[0], maps, strict=True):
        network = found.network
        latency = format_s(network.latency_s)
        axes.set_title(f"{network.name}\n{network.rates}, {latency} a message")
    for axes in grid[-1]:
        axes.set_xlabel("array that every rank holds")
    figure.suptitle(f"The fastest {_name(maps[0].operation)}", fontsize=15, fontweight="bold")
    told = textwrap.wrap(_seen(maps), int(width_in * CHARACTERS_PER_IN))
    figure.set_figheight(figure.get_figheight() + LINES_IN * len(told))
    figure.legend(
        handles=_keys(maps),
        title="\n".join(told),
        title_fontsize=9,
        loc="outside lower center",
        ncols=4 if len(maps) > 1 else 2,
        frameon=False,
        fontsize=9,
    )
    return figure


def _seen(maps: Sequence[TopologyMap]) -> str:
    """Say what the picture shows: where the fastest changes, and who never is."""
    parts = []
    for found in maps:
        switches = [
            (first, int(found.ranks[column]))
            for column in range(len(found.ranks))
            for _, first, _ in found.bands(column)[1:]
        ]
        if switches:
            ends = [f"{format_bytes(size)} ({n:,} ranks)" for size, n in sorted(switches)]
            between = " to ".join(dict.fromkeys((ends[0], ends[-1])))
            parts.append(f"on {found.network.name} at {between}")
    won = {found.algorithms[i] for found in maps for i in np.unique(found.winners())}
    never = [_name(n) for n in dict.fromkeys(a for f in maps for a in f.algorithms) if n not in won]
    said = [f"The fastest changes (black line) {'; '.join(parts)}"] if parts else []
    said += dict.fromkeys(remark for found in maps for remark in remarks(found))
    said += [f"Never fastest: {', '.join(never)}"] if never else []
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in said)


def _columns(found: TopologyMap, title: str) -> list[int]:
    """Return the numbers of ranks, by place, that stand in the row with this title."""
    if len(found.ranks) <= ONE_ROW:
        return list(range(len(found.ranks))) if title == TITLES[2] else []
    is_power = found.ranks & (found.ranks - 1) == 0
    rows = {TITLES[0]: is_power, TITLES[1]: ~is_power}
    return [int(i) for i in np.flatnonzero(rows.get(title, []))]


def _panel(axes: Axes, found: TopologyMap, columns: Sequence[int]) -> None:
    ranks = found.ranks[list(columns)]
    edges = _edges(ranks)
    boxes: list[list[tuple[float, float]]] = []
    colours: list[Colour] = []
    for place, column in enumerate(columns):
        low, high = edges[place], edges[place + 1]
        for name, first, last in found.bands(column):
            for left, right, share in _strengths(found, column, first, last):
                boxes.append([(left, low), (right, low), (right, high), (left, high)])
                colours.append(_pale(colour_of(name), share))
    axes.add_collection(PolyCollection(boxes, facecolors=colours, linewidths=0, antialiased=False))
    _switch_lines(axes, found, columns, edges)
    _labels(axes, found, columns, edges)
    for sample in found.samples:
        if sample.ranks in ranks:
            _dot(axes, sample)
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    axes.set_xlim(found.payload_bytes[0], found.payload_bytes[-1])
    axes.set_ylim(edges[0], edges[-1])
    ticks = _apart(ranks.tolist())
    axes.set_yticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
    axes.set_xticks(_ticks(float(found.payload_bytes[0]), float(found.payload_bytes[-1])))


def _apart(ranks: Sequence[int]) -> list[int]:
    """Return those numbers of ranks whose names do not touch the one before."""
    least = (ranks[-1] / ranks[0]) ** (1 / MOST_TICKS)
    kept = [ranks[0]]
    for count in ranks[1:]:
        if count >= kept[-1] * least:
            kept.append(count)
    return kept


def _ticks(first: float, last: float) -> list[float]:
    """Return powers of ten, every second one of many; both ends where there are fewer than two."""
    powers = [10.0**k for k in range(16) if first <= 10.0**k <= last]
    if len(powers) < 2:
        return [first, last]
    return powers[:: 2 if len(powers) > 5 else 1]


def _edges(ranks: Ints) -> list[float]:
    """Return where the bands begin and end: halfway between neighbours, as the scale sees it."""
    logs = np.log2(ranks)
    inner = (logs[:-1] + logs[1:]) / 2
    first = inner[0] - logs[0] if len(inner) else 0.5
    last = logs[-1] - inner[-1] if len(inner) else 0.5
    return [float(2**e) for e in (logs[0] - first, *inner, logs[-1] + last)]


def _strengths(
    found: TopologyMap, column: int, first: int, last: int
) -> list[tuple[float, float, float]]:
    """Cut a band where the runner-up comes close: (from bytes, to bytes, strength of colour)."""
    sizes = found.payload_bytes
    margins = _margins(found)[column]
    middles = np.sqrt(sizes[:-1] * sizes[1:].astype(float))
    cuts = [float(first), *(m for m in middles if first < m < last), float(last)]
    parts: list[tuple[float, float, float]] = []
    for left, right in pairwise(cuts):
        nearest = int(np.abs(np.log(sizes / np.sqrt(left * right))).argmin())
        share = next((s for limit, s in CLOSE if margins[nearest] < limit), CLOSE[-1][1])
        goes_on = parts and parts[-1][2] == share
        parts.append((parts.pop()[0] if goes_on else left, right, share))
    return parts


def _margins(found: TopologyMap) -> Floats:
    """(R, B) how much slower the runner-up is, as a share; who takes equally long is none."""
    best = found.times_ps.min(axis=0)
    slower = np.where(found.times_ps > best, found.times_ps, np.inf)
    margins: Floats = slower.min(axis=0) / best - 1
    return margins


def _switch_lines(
    axes: Axes, found: TopologyMap, columns: Sequence[int], edges: Sequence[float]
) -> None:
    """Draw the exact switches, and the steps between neighbouring numbers of ranks."""
    bands = [found.bands(column) for column in columns]
    for place, own in enumerate(bands):
        for _, first, _ in own[1:]:
            axes.plot([first, first], edges[place : place + 2], color=INK, linewidth=1.4)
        for name, first, last in own if place else ():
            for other, begin, end in bands[place - 1]:
                left, right = max(first, begin), min(last, end)
                if other != name and left < right:
                    axes.plot([left, right], [edges[place]] * 2, color=INK, linewidth=1.4)


def _labels(axes: Axes, found: TopologyMap, columns: Sequence[int], edges: Sequence[float]) -> None:
    """Name each algorithm once, in the middle of the largest block of bands that it wins."""
    for name in found.algorithms:
        spans = [[(f, e) for n, f, e in found.bands(c) if n == name] for c in columns]
        text = _name(name).replace("-", "-\n", 1)
        share = CHARACTER_FRAC * max(map(len, text.split("\n")))
        decades = float(np.log10(found.payload_bytes[-1] / found.payload_bytes[0]))
        if place := _middle(spans, edges, share * decades):
            axes.text(
                *place,
                text,
                ha="center",
                va="center",
                color="white",
                fontweight="bold",
                path_effects=[withStroke(linewidth=3, foreground=_darker(colour_of(name), 0.55))],
                zorder=6,
            )


def _middle(
    spans: Sequence[Sequence[tuple[int, int]]], edges: Sequence[float], decades: float
) -> tuple[float, float] | None:
    """Return the middle (bytes, ranks) of the largest box in a region, None if all are too small.

    ``spans`` has, by band, what one algorithm wins there; ``decades`` is the least width.
    """
    best, middle = 0.0, None
    for first in range(len(spans)):
        left, right = 0.0, np.inf
        for last in range(first, len(spans)):
            if not spans[last]:
                break
            left, right = max(left, spans[last][0][0]), min(right, spans[last][0][1])
            wide = float(np.log10(right / left)) if right > left else 0.0
            high = np.log(edges[last + 1] / edges[first]) / np.log(edges[-1] / edges[0])
            fits = wide >= decades and high >= LABEL_FRAC
            if fits and wide * high > best:
                best = wide * high
                middle = ((left * right) ** 0.5, (edges[first] * edges[last + 1]) ** 0.5)
    return middle


def _dot(axes: Axes, sample: Sample) -> None:
    """Mark a simulated point: a dot where the same wins, a cross where another does."""
    axes.plot(
        sample.payload_bytes,
        sample.ranks,
        marker="o" if sample.agrees else "X",
        markersize=6 if sample.agrees else 10,
        markerfacecolor=colour_of(sample.winner),
        markeredgecolor="white",
        markeredgewidth=1.4,
        clip_on=False,
        zorder=5,
    )


def _keys(maps: Sequence[TopologyMap]) -> list[Patch | Line2D]:
    winners = [found.algorithms[i] for found in maps for i in np.unique(found.winners())]
    winners += [sample.winner for found in maps for sample in found.samples]
    keys: list[Patch | Line2D] = [
        Patch(facecolor=colour_of(name), label=_name(name)) for name in dict.fromkeys(winners)
    ]
    for limit, share in CLOSE[:-1]:
        label = f"pale: another is less than {format_frac(limit, 0)} slower"
        keys.append(Patch(facecolor=_pale(GREY, share), label=label))
    agreed = {sample.agrees for found in maps for sample in found.samples}
    for agrees in sorted(agreed, reverse=True):
        label = "simulated: the same wins" if agrees else "simulated: another wins"
        line = Line2D([], [], linestyle="", color=GREY, label=label)
        line.set(marker="o" if agrees else "X", markersize=7 if agrees else 10)
        keys.append(line)
    return keys


def _pale(colour: str, share: float) -> Colour:
    red, green, blue = (1 - share * (1 - part) for part in to_rgb(colour))
    return red, green, blue


def _darker(colour: str, share: float) -> Colour:
    red, green, blue = (share * part for part in to_rgb(colour))
    return red, green, blue


def _name(algorithm: str) -> str:
    return algorithm.replace("_", "-")
