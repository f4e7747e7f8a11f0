"""Figures of one run: the parts of its error, and what it learnt."""

from collections.abc import Sequence

from matplotlib import style

from hwprofiles.units import format_s
from reports.canvas import (
    AMBER,
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RC,
    WIDTH_IN,
    beside,
    finish,
    grid,
    svg,
    time_unit,
)
from reports.compare import SplitPart


@style.context(RC, after_reset=True)
def split_figure(parts: Sequence[SplitPart], place: int = 0) -> str:
    """Return the way from predicted to measured as a staircase between their two marks."""
    figure, (axes,) = grid(WIDTH_IN, 2.7)
    times = [parts[0].from_ns, *(part.to_ns for part in parts)]
    scale, unit = time_unit(max(times) / 1e9)
    at = [ns / 1e9 / scale for ns in times]
    names = ["predicted (P0)", *(f"{p.name} ({p.symbol})" for p in parts), "measured (M)"]
    room = max(at) - min(at) or 0.1 * max(at) or 1.0
    for y, (part, start, end) in enumerate(zip(parts, at, at[1:], strict=False), start=1):
        left, right = sorted((start, end))
        colour = ORANGE if part.change_ns > 0 else GREEN
        axes.barh(y, right - left, left=left, height=0.6, color=colour)
        beside(axes, right, y, f"{'+' * (part.change_ns > 0)}{format_s(part.change_ns / 1e9)}")
    for y, x in enumerate([*at, at[-1]][: len(names) - 1]):
        axes.plot([x] * 2, [y, y + 1], color=INK, linewidth=0.6, zorder=0)
    for y, x, mark, colour in ((0, at[0], "o", BLUE), (len(parts) + 1, at[-1], "D", AMBER)):
        axes.plot(x, y, mark, color=colour, markersize=8, markeredgecolor=INK)
        beside(axes, x, y, format_s(x * scale), room_pt=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(min(at) - 0.1 * room, max(at) + 0.3 * room)
    finish(axes, f"time of one step ({unit})")
    return svg(
        figure, f"split{place}", "From the predicted to the measured step time, part by part"
    )


@style.context(RC, after_reset=True)
def loss_figure(losses: Sequence[float], place: int = 0) -> str:
    """Training loss by step."""
    figure, (axes,) = grid(WIDTH_IN, 2.6)
    axes.plot(range(1, len(losses) + 1), losses, color=BLUE, linewidth=1.2)
    axes.set_ylim(bottom=min(0.0, *losses) if len(losses) > 1 else None)
    axes.set_ylabel("training loss")
    finish(axes, "step (warm-up included)", axis="both")
    return svg(figure, f"loss{place}", "Training loss by step")
