"""Figure: memory planned before the run, or found during it."""

from collections.abc import Sequence
from typing import Any

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

NAME = "static-or-dynamic-memory"
REFUSED = "does not fit, known before the run"
"""What a static plan comes to with less memory than its arena."""
MARKS = {
    FINISHED: ("o", GREEN),
    REFUSED: ("_", GREY),
    EXHAUSTED: ("X", PINK),
    DEADLOCK: ("s", INK),
}
MARK: dict[str, Any] = {"markersize": 9, "markeredgewidth": 1.5}
POLICIES = (STATIC, LEAN, DYNAMIC, WAITING)
SETTING = (
    "One training step, the same tasks under four policies, simulated. Static: registers with two"
    " slots (or one), an arena that holds them all. Dynamic: first fit, a value is allocated when"
    " its task starts and freed when its last reader ends; without credits nothing bounds how far"
    " tasks run ahead. Where memory lacks the run ends, or its tasks wait for some."
)


def plate(found: Sequence[Memory]) -> Plate:
    """Return the figure with its caption and numbers."""
    title = _title(found)
    return Plate(
        name=NAME,
        title=title,
        caption=_caption(found),
        figure=_draw(found, title),
        record=list(found),
    )


def _over_peak(found: Sequence[Memory], name: str) -> list[float]:
    return [getattr(memory, name) / memory.live_peak_bytes for memory in found]


def _title(found: Sequence[Memory]) -> str:
    waste = format_frac(max(_over_peak(found, "arena_bytes")) - 1, 0)
    return (
        f"Memory planned before the run wastes at most {waste}; found during it, up to"
        f" {max(_over_peak(found, 'dynamic_bytes')):.1f} times as much is needed, or the run fails"
    )


def _caption(found: Sequence[Memory]) -> str:
    waste, lean = _over_peak(found, "arena_bytes"), _over_peak(found, "lean_bytes")
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
        f"{SETTING} The price of static: arenas of {min(waste):.2f} to {max(waste):.2f} times the"
        f" live peak, {min(lean):.2f} to {max(lean):.2f} with one slot; a step fits or not, which"
        " is known before it starts. The price of dynamic: below what it happens to need a run is"
        " out of memory, or, if tasks wait for memory, hangs." + stuck
    )


def _static_runs(memory: Memory, outcome: Outcome) -> bool:
    """Whether the static plan finishes with the memory of ``outcome``."""
    return outcome.memory_bytes >= memory.arena_bytes


@style.context(STYLE, after_reset=True)
def _draw(found: Sequence[Memory], title: str) -> Figure:
    keys = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=result, **MARK)
        for result, (marker, colour) in MARKS.items()
    ]
    figure = blank(title, SETTING, 13.0, 1.4 + 1.75 * len(found), keys)
    panels = figure.subplots(len(found), 2, width_ratios=(1, 1.7), squeeze=False)
    for (left, right), memory in zip(panels, found, strict=True):
        _bars(left, memory)
        _outcomes(right, memory)
    panels[-1][0].set_xlabel("memory that a step needs")
    panels[-1][1].set_xlabel("memory of a device over the live peak of the static plan")
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
        is_refused = outcome.policy in (STATIC, LEAN) and outcome.result == EXHAUSTED
        marker, colour = MARKS[REFUSED if is_refused else outcome.result]
        y = POLICIES.index(outcome.policy)
        axes.plot(outcome.share, y, marker=marker, color=colour, **MARK)
    axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    shares = (0.7, 1, 1.2, 1.5, 2, 3, 4)
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_yticks(range(len(POLICIES)), ["static, 2 slots", *POLICIES[1:]])
    axes.set_ylim(len(POLICIES) - 0.5, -0.5)
    axes.grid(axis="x")
