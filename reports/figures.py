"""Rows to figures: SVG text that takes its ink from the page, in light, in dark and on paper.

Fills are the colours of Okabe and Ito, which stay apart for the common kinds of colour blindness.
"""

import re
from collections.abc import Sequence
from io import StringIO

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hwprofiles.units import format_bytes, format_s
from reports.compare import SplitPart
from reports.tables import Row
from reports.timeline import EXCHANGE, Span, Steps, end_s

INK = "#010203"
"""Stands for the page's text colour; becomes ``currentColor`` in the SVG."""
BLUE, SKY, GREEN, ORANGE, AMBER, PINK, GREY = (
    "#0072b2",
    "#56b4e9",
    "#009e73",
    "#d55e00",
    "#e69f00",
    "#cc79a7",
    "#8c8c8c",
)
PALE = "#d9d9d9"
PHASE_COLOURS = {
    "load": PINK,
    "forward": BLUE,
    "backward": ORANGE,
    "exchange": GREEN,
    "update": AMBER,
    "waiting": GREY,
}
CATEGORY_COLOURS = {
    "parameters": BLUE,
    "gradients": SKY,
    "optimizer": PINK,
    "input": GREY,
    "activations": ORANGE,
    "workspace": AMBER,
    "landing": GREEN,
    "gaps": PALE,
}
RC = {
    "svg.hashsalt": "foreplan",
    "svg.fonttype": "none",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "hatch.linewidth": 0.6,
}
WIDTH_IN, WIDE_IN = 6.4, 10.0
LANE_IN, LANES_IN = 0.62, 9.0
"""Height of a lane, and the most that all lanes of a timeline take."""
LABEL_LENGTH = 16
GLYPH_IN = 0.065  # width of one character of a task's name at 8 points


@style.context(RC, after_reset=True)
def phase_figure(rows: Sequence[Row]) -> str:
    """Busy time of rank 0 by phase, predicted and measured, as bars."""
    both = any(row["measured_s"] is not None for row in rows)
    figure, axes = _figure(WIDTH_IN, 0.5 + 0.5 * len(rows))
    most_s = max(max(row["predicted_s"], row["measured_s"] or 0.0) for row in rows)
    scale, unit = _time_unit(most_s)
    sides = [("predicted_s", "predicted", -0.19, BLUE), ("measured_s", "measured", 0.19, AMBER)]
    for key, label, shift, colour in sides if both else [(*sides[0][:2], 0.0, BLUE)]:
        values = [row[key] or 0.0 for row in rows]
        at = [i + shift for i in range(len(rows))]
        axes.barh(at, [v / scale for v in values], height=0.36, color=colour, label=label)
        for y, value in zip(at, values, strict=True):
            _beside(axes, value / scale, y, format_s(value))
    axes.set_yticks(range(len(rows)), [_short(row["phase"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * most_s / scale or 1)
    _finish(axes, f"time of rank 0 in one step ({unit})", legend=both)
    return _svg(figure, "phases", "Busy time of rank 0 by phase, predicted and measured")


@style.context(RC, after_reset=True)
def split_figure(parts: Sequence[SplitPart]) -> str:
    """Return the way from predicted to measured as a staircase of bars."""
    figure, axes = _figure(WIDTH_IN, 2.7)
    most = max(max(p.from_ns, p.to_ns) for p in parts)
    scale, unit = _time_unit(most / 1e9)
    names = ["predicted (P0)", *(f"{p.name} ({p.symbol})" for p in parts), "measured (M)"]
    bars = [(0, parts[0].from_ns, BLUE, format_s(parts[0].from_ns / 1e9))]
    for part in parts:
        sign = "+" if part.change_ns > 0 else ""
        colour = ORANGE if part.change_ns > 0 else GREEN
        bars.append((part.from_ns, part.to_ns, colour, sign + format_s(part.change_ns / 1e9)))
    bars.append((0, parts[-1].to_ns, AMBER, format_s(parts[-1].to_ns / 1e9)))
    for y, (start, end, colour, label) in enumerate(bars):
        left, right = sorted((start / 1e9 / scale, end / 1e9 / scale))
        axes.barh(y, right - left, left=left, height=0.6, color=colour)
        _beside(axes, right, y, label)
        if y + 1 < len(bars):
            axes.plot([end / 1e9 / scale] * 2, [y, y + 1], color=INK, linewidth=0.6, zorder=0)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * most / 1e9 / scale or 1)
    _finish(axes, f"time of one step ({unit})")
    return _svg(figure, "split", "From the predicted to the measured step time, part by part")


@style.context(RC, after_reset=True)
def memory_figure(rows: Sequence[Row], live_peak_bytes: int) -> str:
    """Arena of rank 0 by category, stacked, above its live peak."""
    figure, axes = _figure(WIDTH_IN, 2.5)
    total = sum(row["bytes"] for row in rows)
    scale, unit = next(
        (f, u) for f, u in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")) if total >= f or f == 1
    )
    left = 0.0
    for row in rows:
        width = row["bytes"] / scale
        label = f"{_short(row['category'])} {format_bytes(row['bytes'])}"
        colour = CATEGORY_COLOURS.get(row["category"], GREY)
        axes.barh(0, width, left=left, height=0.6, color=colour, label=label)
        left += width
    _beside(axes, left, 0, format_bytes(total))
    axes.barh(
        1, live_peak_bytes / scale, height=0.6, color=GREY, hatch="///", edgecolor=INK, lw=0.6
    )
    _beside(axes, live_peak_bytes / scale, 1, format_bytes(live_peak_bytes))
    axes.set_yticks([0, 1], ["arena", "live peak"])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.16 * max(total, live_peak_bytes) / scale or 1)
    _finish(axes, f"memory of rank 0 ({unit})")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.45, -0.32), ncols=3, frameon=False, fontsize=9
    )
    return _svg(figure, "memory", "Arena of rank 0 by category, and its live peak")


@style.context(RC, after_reset=True)
def loss_figure(losses: Sequence[float]) -> str:
    """Training loss by step."""
    figure, axes = _figure(WIDTH_IN, 2.6)
    axes.plot(range(1, len(losses) + 1), losses, color=BLUE, linewidth=1.2)
    axes.set_ylim(bottom=min(0.0, *losses) if len(losses) > 1 else None)
    axes.set_ylabel("training loss")
    _finish(axes, "step (warm-up included)", axis="both")
    return _svg(figure, "loss", "Training loss by step")


@style.context(RC, after_reset=True)
def timeline_figure(steps: Steps) -> str:
    """Return both timelines, one above the other, on one time axis: a lane a rank."""
    panels = [("predicted", steps.predicted)]
    panels += [("measured, one traced step", steps.measured)] if steps.measured else []
    whole_s = max(end_s(spans) for _, spans in panels) or 1.0
    scale, unit = _time_unit(whole_s)
    lane_in = min(LANE_IN, LANES_IN / (len(panels) * steps.ranks))
    height = 1.0 + len(panels) * (0.45 + lane_in * steps.ranks)
    figure, grid = _grid(WIDE_IN, height, len(panels))
    for axes, (name, spans) in zip(grid, panels, strict=True):
        _lanes(axes, spans, scale, whole_s)
        last_s = end_s(spans)
        axes.axvline(last_s / scale, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        axes.set_title(f"{name}: ends after {format_s(last_s)}", loc="left")
        every = -(-steps.ranks // 16)
        ranks = range(0, steps.ranks, every)
        axes.set_yticks(list(ranks), [f"rank {rank}" for rank in ranks])
        axes.set_ylim(steps.ranks - 0.45, -0.55)
        axes.set_xlim(0, 1.01 * whole_s / scale)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    grid[-1].set_xlabel(f"time since the start of the step ({unit})")
    present = {span.phase for _, spans in panels for span in spans}
    keys = [
        Patch(facecolor=colour, label=phase)
        for phase, colour in PHASE_COLOURS.items()
        if phase in present
    ]
    figure.legend(handles=keys, loc="outside upper left", ncols=len(keys), frameon=False)
    return _svg(figure, "timeline", "Tasks of every rank over time, predicted above measured")


def _lanes(axes: Axes, spans: Sequence[Span], scale: float, whole_s: float) -> None:
    """Draw the spans: computation in the upper part of a lane, exchange in a strip below it."""
    for phase in dict.fromkeys(span.phase for span in spans):
        strip = phase == EXCHANGE
        top, height = (0.2, 0.2) if strip else (-0.38, 0.54)
        for rank in dict.fromkeys(span.rank for span in spans):
            bars = [
                (span.start_s / scale, (span.end_s - span.start_s) / scale)
                for span in spans
                if span.phase == phase and span.rank == rank
            ]
            colour = PHASE_COLOURS.get(phase, GREY)
            axes.broken_barh(bars, (rank + top, height), facecolors=colour, linewidth=0)
    lane_in = axes.get_figure(root=True).get_figwidth() * 0.9  # type: ignore[union-attr]
    for span in spans:
        width_in = (span.end_s - span.start_s) / whole_s * lane_in
        fits = width_in > GLYPH_IN * len(span.task)
        if fits and span.task.isascii() and span.phase != EXCHANGE:
            axes.text(
                (span.start_s + span.end_s) / 2 / scale,
                span.rank - 0.11,
                span.task,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if span.phase in ("forward", "backward") else "black",
                parse_math=False,
            )


def _beside(axes: Axes, x: float, y: float, label: str) -> None:
    """Write a bar's value just right of its end."""
    axes.annotate(label, (x, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)


def _short(name: str) -> str:
    """Return a name from a file as a label: not long, and no formula."""
    name = name if len(name) <= LABEL_LENGTH else f"{name[: LABEL_LENGTH - 2]}.."
    return name.replace("$", r"\$")


def _time_unit(most_s: float) -> tuple[float, str]:
    return next(
        (f, u) for f, u in ((1, "s"), (1e-3, "ms"), (1e-6, "us")) if most_s >= f or f < 1e-5
    )


def _grid(width_in: float, height_in: float, panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure, list(axes[:, 0])


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure, (axes,) = _grid(width_in, height_in, 1)
    return figure, axes


def _finish(axes: Axes, xlabel: str, *, legend: bool = False, axis: str = "x") -> None:
    axes.set_xlabel(xlabel)
    axes.grid(axis="both" if axis == "both" else "x")
    if legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)


def _svg(figure: Figure, name: str, label: str) -> str:
    """Return the figure as inline SVG: no date, no address, ids that no other figure has."""
    text = StringIO()
    bare = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=bare)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
