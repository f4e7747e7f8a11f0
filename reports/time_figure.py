"""The steps of a comparison on one time axis: a lane a rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from hwprofiles.units import format_s
from reports.canvas import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PAPER,
    PINK,
    RC,
    SKY,
    WIDE_IN,
    grid,
    keys_above,
    short,
    svg,
    time_unit,
)
from reports.spans import EXCHANGE, last_s, merged

PHASE_COLOURS = {
    "load": PINK,
    "forward": BLUE,
    "backward": ORANGE,
    "exchange": GREEN,
    "update": AMBER,
    "recompute": SKY,
}
LANE_IN, LANES_IN = 0.62, 7.6
"""Height of a lane, and the most that all lanes of a figure take."""
MOST_LANES, MOST_RANKS = 24, 16
"""Of all panels together, and of one of them."""
FINEST = 1 / 1200
"""Gaps of this share of the axis cannot be seen; spans across them are drawn as one."""
MOST_SPANS = 1000
"""Of a panel: fewer are all drawn, and named where their name fits."""
BORDER_IN = 0.09
"""Wider spans of computation are told apart by a line between them."""
GLYPH_IN = 0.065  # width of one character of a task's name at 8 points
RECTANGLE = (Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """One step, as predicted or as measured."""

    title: str
    spans: pd.DataFrame
    ranks: int


def shown_ranks(ranks: int, panels: int) -> list[int]:
    """Return the ranks that are drawn: all, or the first, the last and some between.

    >>> shown_ranks(4, 1), shown_ranks(32, 6)
    ([0, 1, 2, 3], [0, 10, 21, 31])
    """
    most = min(MOST_RANKS, max(2, MOST_LANES // panels))
    return sorted(set(np.linspace(0, ranks - 1, min(ranks, most)).round().astype(int).tolist()))


@style.context(RC, after_reset=True)
def timeline_figure(panels: Sequence[Panel], lanes: str = "rank") -> str:
    """Draw the panels one above the other: computation, and exchange in a strip below it.

    ``lanes`` is what a lane is called.
    """
    whole_s = max(last_s(panel.spans) for panel in panels) or 1.0
    scale, unit = time_unit(whole_s)
    shown = [shown_ranks(panel.ranks, len(panels)) for panel in panels]
    lane_in = min(LANE_IN, LANES_IN / sum(map(len, shown)))
    height_in = 1.0 + sum(0.45 + lane_in * len(ranks) for ranks in shown)
    heights = [len(ranks) for ranks in shown]
    figure, all_axes = grid(WIDE_IN, height_in, len(panels), is_one_scale=False, heights=heights)
    present = set[str]()
    for axes, panel, ranks in zip(all_axes, panels, shown, strict=True):
        some = panel.spans[panel.spans["rank"].isin(ranks)]
        spans = merged(some, FINEST * whole_s) if len(some) > MOST_SPANS else some
        present |= set(spans["phase"])
        _lanes(axes, spans.assign(lane=spans["rank"].map(ranks.index)), scale, whole_s)
        end_s = last_s(panel.spans)
        axes.axvline(end_s / scale, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        axes.set_title(f"{short(panel.title, 60)}: ends after {format_s(end_s)}", loc="left")
        axes.set_yticks(range(len(ranks)), [f"{lanes} {rank}" for rank in ranks])
        axes.set_ylim(len(ranks) - 0.45, -0.55)
        axes.set_xlim(0, 1.01 * whole_s / scale)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    all_axes[-1].set_xlabel(f"time since the start of the step ({unit})")
    keys = [
        Patch(facecolor=colour, label=phase)
        for phase, colour in PHASE_COLOURS.items()
        if phase in present
    ]
    if present - PHASE_COLOURS.keys():
        keys.append(Patch(facecolor=GREY, label="other"))
    keys_above(figure, keys)
    return svg(figure, "timeline", "Tasks of every rank over time")


def _lanes(axes: Axes, spans: pd.DataFrame, scale: float, whole_s: float) -> None:
    """Draw the spans of a phase and rank as one path, and the names that fit."""
    for _, own in spans.groupby(["lane", "phase"]):
        lane, phase = int(own["lane"].iloc[0]), str(own["phase"].iloc[0])
        top, height = (0.2, 0.2) if phase == EXCHANGE else (-0.38, 0.54)
        left, right = own["start_s"].to_numpy() / scale, own["end_s"].to_numpy() / scale
        low, high = np.full(len(own), lane + top), np.full(len(own), lane + top + height)
        corners = np.stack(
            [
                np.stack(pair, -1)
                for pair in ((left, low), (right, low), (right, high), (left, high))
            ]
        )
        closed = np.concatenate([corners, corners[:1]]).swapaxes(0, 1).reshape(-1, 2)
        path = Path(closed, np.tile(RECTANGLE, len(own)))
        colour = PHASE_COLOURS.get(phase, GREY)
        axes.add_patch(PathPatch(path, facecolor=colour, linewidth=0))
    lane_in = axes.get_figure(root=True).get_figwidth() * 0.9  # type: ignore[union-attr]
    _borders(
        axes, spans[(spans["end_s"] - spans["start_s"]) / whole_s * lane_in > BORDER_IN], scale
    )
    named = spans[(spans["task"] != "") & (spans["phase"] != EXCHANGE)]
    columns = (named[name].to_list() for name in ("task", "phase", "lane", "start_s", "end_s"))
    for name, phase, lane, start_s, end_s in zip(*columns, strict=True):
        if name.isascii() and (end_s - start_s) / whole_s * lane_in > GLYPH_IN * len(name):
            axes.text(
                (start_s + end_s) / 2 / scale,
                lane - 0.11,
                name,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if phase in ("forward", "backward") else "black",
                parse_math=False,
            )


def _borders(axes: Axes, wide: pd.DataFrame, scale: float) -> None:
    """Draw a line of paper where two spans of one phase of computation meet."""
    for _, own in wide[wide["phase"] != EXCHANGE].groupby(["lane", "phase"]):
        lane = int(own["lane"].iloc[0])
        at = own["start_s"][own["start_s"].isin(own["end_s"])].to_numpy() / scale
        axes.vlines(at, lane - 0.38, lane + 0.16, color=PAPER, linewidth=0.6)
