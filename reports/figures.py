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
    """Return the way from predicted to measured as a staircase of bars."""
    figure, (axes,) = grid(WIDTH_IN, 2.7)
    most = max(max(p.from_ns, p.to_ns) for p in parts)
    scale, unit = time_unit(most / 1e9)
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
        beside(axes, right, y, label)
        if y + 1 < len(bars):
            axes.plot([end / 1e9 / scale] * 2, [y, y + 1], color=INK, linewidth=0.6, zorder=0)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * most / 1e9 / scale or 1)
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
