"""Figure: memory planned before the run, or found during it."""

from collections.abc import Sequence

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwprofiles.units import format_bytes, format_frac
from planner.memory_policies import (
    DEADLOCK,
    DYNAMIC,
    EXHAUSTED,
    FINISHED,
    LEAN,
    STATIC,
    WAITING,
    Memory,
    Outcome,
)
from reports.canvas import BLUE, GREEN, GREY, INK, ORANGE, PINK
from reports.talk.page import STYLE, Plate, blank

NAME, TITLE = "static-or-dynamic-memory", "Memory planned before the run, or found during it"
MARKS = {FINISHED: ("o", GREEN), EXHAUSTED: ("X", PINK), DEADLOCK: ("s", ORANGE)}
POLICIES = (STATIC, LEAN, DYNAMIC, WAITING)


def plate(found: Sequence[Memory]) -> Plate:
    """Return the figure with its caption and numbers."""
    caption = _caption(found)
    return Plate(
        name=NAME, title=TITLE, caption=caption, figure=_draw(found, caption), record=list(found)
    )


def _caption(found: Sequence[Memory]) -> str:
    waste = [memory.arena_bytes / memory.live_peak_bytes for memory in found]
    dynamic = [memory.dynamic_bytes / memory.live_peak_bytes for memory in found]
    lean = [memory.lean_bytes / memory.live_peak_bytes for memory in found]
    worst = max(
        (o for m in found for o in m.outcomes if o.result == DEADLOCK and _static_runs(m, o)),
        key=lambda outcome: outcome.share,
        default=None,
    )
    stuck = (
        f" With {format_bytes(worst.memory_bytes)}, {worst.share:g} times the live peak, the static"
        " plan finishes and the dynamic one hangs: its inputs run ahead and fill the memory, and"
        " what would free them finds no place for its own results."
        if worst
        else ""
    )
    return (
        "Planned memory is known before the run and wastes at most"
        f" {format_frac(max(waste) - 1, 0)}; found memory needs up to {max(dynamic):.1f} times the"
        " live peak, or the run fails. One training step, the same tasks under four policies,"
        " simulated. Static: registers with two slots (or one), an arena that holds them all; a"
        " step fits or not, which is known before it starts. Dynamic: first fit, a value is"
        " allocated when its task starts and freed when its last reader ends; without credits"
        " nothing bounds how far tasks run ahead. The"
        f" price of static: arenas of {min(waste):.2f} to {max(waste):.2f} times the live peak,"
        f" {min(lean):.2f} to {max(lean):.2f} with one slot. The price of dynamic: below what it"
        " happens to need a run is out of memory, or, if tasks wait for memory, hangs." + stuck
    )


def _static_runs(memory: Memory, outcome: Outcome) -> bool:
    """Whether the static plan finishes with the memory of ``outcome``."""
    return outcome.memory_bytes >= memory.arena_bytes


@style.context(STYLE, after_reset=True)
def _draw(found: Sequence[Memory], caption: str) -> Figure:
    figure = blank(TITLE, caption, 13.0, 1.0 + 1.75 * len(found))
    panels = figure.subplots(len(found), 2, width_ratios=(1, 1.7), squeeze=False)
    for (left, right), memory in zip(panels, found, strict=True):
        _bars(left, memory)
        _outcomes(right, memory)
    panels[-1][0].set_xlabel("memory that a step needs")
    panels[-1][1].set_xlabel("memory of a device over the live peak of the static plan")
    keys = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=9, label=result)
        for result, (marker, colour) in MARKS.items()
    ]
    figure.legend(handles=keys, loc="outside upper right", ncols=3, frameon=False)
    return figure


def _bars(axes: Axes, memory: Memory) -> None:
    """What each policy needs."""
    rows = (
        ("static, 2 slots", memory.arena_bytes, BLUE),
        ("static, 1 slot", memory.lean_bytes, BLUE),
        ("dynamic", memory.dynamic_bytes, ORANGE),
        ("live peak", memory.live_peak_bytes, GREY),
    )
    most = max(size for _, size, _ in rows)
    for y, (_, size, colour) in enumerate(rows):
        axes.barh(y, size, height=0.7, color=colour)
        axes.annotate(
            format_bytes(size), (size, y), xytext=(4, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * most)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title(memory.job.label, loc="left")


def _outcomes(axes: Axes, memory: Memory) -> None:
    """What becomes of the step by memory."""
    for outcome in memory.outcomes:
        marker, colour = MARKS[outcome.result]
        y = POLICIES.index(outcome.policy)
        axes.plot(outcome.share, y, marker=marker, color=colour, markersize=9)
    axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    shares = (0.7, 1, 1.2, 1.5, 2, 3, 4)
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_yticks(range(len(POLICIES)), ["static, 2 slots", *POLICIES[1:]])
    axes.set_ylim(len(POLICIES) - 0.5, -0.5)
    axes.grid(axis="x")
