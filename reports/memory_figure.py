"""Live bytes by category over a step, under the arena, on the same axes for every plan."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hwprofiles.units import PS_PER_S, format_bytes
from reports.canvas import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    RC,
    SKY,
    WIDE_IN,
    bytes_unit,
    grid,
    keys_above,
    short,
    svg,
    time_unit,
)
from reports.livememory import LiveMemory

CATEGORY_COLOURS = {
    "parameters": BLUE,
    "gradients": SKY,
    "optimizer": PINK,
    "input": GREY,
    "activations": ORANGE,
    "workspace": AMBER,
    "landing": GREEN,
}
INSTANTS = 200
"""Points of a curve: more cannot be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryPanel:
    """The memory of one rank of one plan."""

    title: str
    live: LiveMemory
    arena_bytes: int


@style.context(RC, after_reset=True)
def memory_figure(panels: Sequence[MemoryPanel]) -> str:
    """Draw the panels one above the other."""
    thinned = [panel.live.thinned(INSTANTS) for panel in panels]
    whole_s = max(int(live.at_ps[-1]) for live in thinned) / PS_PER_S or 1.0
    most = max(max(p.arena_bytes, int(p.live.total_bytes.max())) for p in panels)
    (time, time_name), (size, size_name) = time_unit(whole_s), bytes_unit(most)
    figure, all_axes = grid(WIDE_IN, 1.2 + 1.8 * len(panels), len(panels))
    for axes, panel, live in zip(all_axes, panels, thinned, strict=True):
        _stack(axes, live, time, size)
        axes.axhline(panel.arena_bytes / size, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        peak = int(panel.live.total_bytes.max())
        said = f"arena {format_bytes(panel.arena_bytes)}, live peak {format_bytes(peak)}"
        title = f"{short(panel.title, 44)}, " if panel.title else ""
        axes.set_title(f"{title}rank {live.rank}: {said}", loc="left")
        axes.set_xlim(0, 1.01 * whole_s / time)
        axes.set_ylim(0, 1.06 * most / size or 1)
        axes.set_ylabel(f"memory ({size_name})")
        axes.grid()
    all_axes[-1].set_xlabel(f"time since the start of the step ({time_name})")
    names = dict.fromkeys(name for live in thinned for name in live.by_category)
    keys: list[Patch | Line2D] = [
        Patch(facecolor=CATEGORY_COLOURS.get(name, GREY), label=name) for name in names
    ]
    keys.append(Line2D([], [], color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label="arena"))
    keys_above(figure, keys)
    return svg(figure, "memory", "Live bytes by category over one step, under the arena")


def _stack(axes: Axes, live: LiveMemory, time: float, size: float) -> None:
    """Draw the categories on each other: the whole first, then what is left without its top."""
    at = live.at_ps / PS_PER_S / time
    heights = np.cumsum(list(live.by_category.values()), axis=0) / size
    for name, height in reversed(list(zip(live.by_category, heights, strict=True))):
        turns = np.flatnonzero(np.diff(height, prepend=-1.0, append=-1.0)[:-1])
        turns = np.unique([*turns, len(at) - 1])
        colour = CATEGORY_COLOURS.get(name, GREY)
        axes.fill_between(at[turns], height[turns], step="post", color=colour, linewidth=0)
