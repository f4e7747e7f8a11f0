"""Figure: a central scheduler, actors, and stages through the disk."""

from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from hwprofiles.units import format_bytes, format_s
from planner.dispatching import (
    DASK_S,
    DISK_OF,
    KINDS,
    LINK,
    MODEL,
    SAMPLES,
    WORKERS,
    Case,
    disk,
    settings,
)
from reports.canvas import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PINK, SKY
from reports.talk.page import STYLE, Plate, blank, spread_labels

WORK_COLOURS = {"compute": SKY, "launch": AMBER, "network": GREEN, "scheduler": ORANGE}
KIND_COLOURS = (GREY, BLUE, PINK, INK)
"""None of ``WORK_COLOURS``."""
NAME = "central-or-actors"
TITLE = (
    "The faster the device and the smaller the task, the sooner a central scheduler is the"
    " bottleneck"
)
OVER_ACTORS = "times as long as with actors"


def plate(cases: Sequence[Case]) -> Plate:
    """Return the figure with its caption and numbers."""
    record = {"settings": settings(), "cases": list(cases)}
    return Plate(
        name=NAME, title=TITLE, caption=_caption(cases), figure=_draw(cases), record=record
    )


def _setting() -> str:
    """Return what was simulated, and from where its figures are."""
    return (
        f"One step of {MODEL}, {SAMPLES} samples on each of {WORKERS} devices at one switch"
        f" ({LINK}), simulated; costs of ops from datasheets, the CPU is a {_device('CPU')}."
        f" Dask's documentation states {format_s(DASK_S)} a task. Stages are bulk-synchronous: all"
        f" data between two of them goes through disks of"
        f" {format_bytes(disk().bandwidth_bytes_per_s)}/s, as a {DISK_OF} has."
    )


def _device(label: str) -> str:
    return next(kind.device for kind in KINDS if kind.label == label)


def _caption(cases: Sequence[Case]) -> str:
    finest = min(case.microbatch for case in cases)
    small = sorted((c for c in cases if c.microbatch == finest), key=lambda case: case.task_s)
    fast, slow = small[0], small[-1]
    ratios = [case.stages_s / case.actors_s for case in cases]
    at = len(slow.dispatch_s) // 2
    cost = format_s(slow.dispatch_s[at])
    return (
        f"{_setting()} Above: the step under a central scheduler over that of actors, which decide"
        " on the spot and pay neither decision nor order. A cell is coloured by the work that"
        " alone would take longest: computing, launching and ordering, the network, or deciding."
        f" With {cost} a decision and tasks of {finest} samples a step takes"
        f" {slow.central_s[at] / slow.actors_s:.1f} times as long on a {slow.kind} (median task"
        f" {format_s(slow.task_s)}), {fast.central_s[at] / fast.actors_s:.1f} times on a"
        f" {fast.kind} ({format_s(fast.task_s)}). Below: the same in seconds, and stages through"
        f" the disk, which take {min(ratios):.1f} to {max(ratios):.1f} times as long as actors."
    )


@style.context(STYLE, after_reset=True)
def _draw(cases: Sequence[Case]) -> Figure:
    keys = [Patch(facecolor=colour, label=name) for name, colour in WORK_COLOURS.items()]
    keys.insert(
        0, Patch(facecolor="none", label=f"number: {OVER_ACTORS}; colour: what takes longest:")
    )
    figure = blank(TITLE, _setting(), 14.0, 7.2, keys)
    sizes = sorted({case.microbatch for case in cases}, reverse=True)
    kinds = list(dict.fromkeys(case.kind for case in cases))
    grid = figure.add_gridspec(2, 6, height_ratios=(1, 1.35))
    for place, size in enumerate(sizes):
        axes = figure.add_subplot(grid[0, 2 * place : 2 * place + 2])
        _cells(axes, [case for case in cases if case.microbatch == size])
    middle = sizes[len(sizes) // 2]
    _lines(figure.add_subplot(grid[1, :4]), [c for c in cases if c.microbatch == middle], middle)
    _bars(figure.add_subplot(grid[1, 4:]), cases, kinds, sizes)
    return figure


def _cells(axes: Axes, cases: Sequence[Case]) -> None:
    """Slow-down by device and dispatch cost, coloured by the bottleneck."""
    for row, case in enumerate(cases):
        for column, (seconds, work) in enumerate(
            zip(case.central_s, case.bottlenecks, strict=True)
        ):
            box = Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=WORK_COLOURS[work], lw=0)
            axes.add_patch(box)
            ratio = seconds / case.actors_s
            text = f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"
            axes.text(column, row, text, ha="center", va="center", color="black")
    axes.set_xlim(-0.5, len(cases[0].dispatch_s) - 0.5)
    axes.set_ylim(len(cases) - 0.5, -0.5)
    costs = [format_s(seconds) for seconds in cases[0].dispatch_s]
    axes.set_xticks(range(len(costs)), costs, fontsize=9)
    names = [f"{case.kind}\n{format_s(case.task_s, 2)} a task" for case in cases]
    axes.set_yticks(range(len(cases)), names, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title(f"tasks of {cases[0].microbatch} samples")
    axes.set_xlabel("scheduler's time for a task")


def _lines(axes: Axes, cases: Sequence[Case], microbatch: int) -> None:
    """Step by dispatch cost."""
    labels = []
    for case, colour in zip(cases, KIND_COLOURS, strict=False):
        axes.plot(case.dispatch_s, case.central_s, color=colour, marker="o", linewidth=2)
        axes.plot(case.dispatch_s, [case.actors_s] * len(case.dispatch_s), color=colour, ls=":")
        labels.append((case.actors_s, f"{case.kind}, actors", colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axvline(DASK_S, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    low, high = axes.get_ylim()
    axes.text(DASK_S * 0.93, high * 0.8, "Dask", rotation=90, ha="right", va="top", fontsize=9)
    axes.set_ylim(low, high)
    axes.set_xlim(cases[0].dispatch_s[0] * 0.8, cases[0].dispatch_s[-1] * 14)
    axes.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    spread_labels(axes, labels, cases[0].dispatch_s[-1])
    ticks = list(cases[0].dispatch_s)
    axes.set_xticks(ticks, [format_s(d) for d in ticks])
    axes.minorticks_off()
    values = [f * 10.0**k for k in range(-3, 3) for f in (1, 3) if low <= f * 10.0**k <= high]
    axes.set_yticks(values, [format_s(v) for v in values])
    axes.grid(axis="both")
    axes.set_xlabel("scheduler's time for a task")
    axes.set_ylabel("time of one step")
    axes.set_title(f"tasks of {microbatch} samples: central scheduler (lines), actors (dotted)")


def _bars(axes: Axes, cases: Sequence[Case], kinds: Sequence[str], sizes: Sequence[int]) -> None:
    """Stages through the disk over actors, by device."""
    height = 0.8 / len(sizes)
    shades = (1.0, 0.65, 0.35)
    for place, size in enumerate(sizes):
        own = {case.kind: case for case in cases if case.microbatch == size}
        at = np.arange(len(kinds)) + (place - (len(sizes) - 1) / 2) * height
        values = [own[kind].stages_s / own[kind].actors_s for kind in kinds]
        axes.barh(at, values, height=0.92 * height, color=BLUE, alpha=shades[place % 3])
        for y, value in zip(at, values, strict=True):
            axes.text(value, y, f" {value:.1f}  ({size})", va="center", fontsize=9)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set_xlim(0, axes.get_xlim()[1] * 1.22)
    axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.grid(axis="x")
    axes.set_xlabel(OVER_ACTORS)
    axes.set_title("stages through the disk (samples of a task)")
