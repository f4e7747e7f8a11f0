"""Bars of a comparison on one time axis: predictions and measurements, and breakdowns."""

from collections.abc import Sequence

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hwprofiles.units import format_s
from reports.breakdown import KINDS
from reports.canvas import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    NARROW_IN,
    PINK,
    RC,
    SKY,
    beside,
    finish,
    grid,
    keys_above,
    short,
    svg,
    time_unit,
)
from reports.case import Cases
from reports.tables import Row

KIND_COLOURS = dict(zip(KINDS, (BLUE, GREEN, PINK, GREY, SKY), strict=True))
LONG = 16
"""Longer names of plans have a line of their own."""
ROOM = 1.18
"""Width of the axis over that of the longest bar: room for its number."""


@style.context(RC, after_reset=True)
def interval_figure(cases: Cases) -> str:
    """Draw the predicted step of every case over its stated interval, and the measured one."""
    figure, (axes,) = grid(NARROW_IN, 1.1 + 0.55 * len(cases))
    kinds = {case.plans.interval_kind for case in cases}
    stated = f"{kinds.pop() if len(kinds) == 1 else 'stated'} interval"
    predictions = [case.subject.prediction for case in cases]
    measured = [case.measured.step_s if case.measured else 0.0 for case in cases]
    most_s = max(*(p.interval_s[1] for p in predictions), *measured, 0.0)
    scale, unit = time_unit(most_s)
    for y, (prediction, found_s) in enumerate(zip(predictions, measured, strict=True)):
        low, high = (s / scale for s in prediction.interval_s)
        axes.barh(y, high - low, left=low, height=0.34, color=SKY, alpha=0.55)
        axes.plot(prediction.step_s / scale, y, "o", color=BLUE, markersize=7, markeredgecolor=INK)
        text = format_s(prediction.step_s)
        if found_s:
            axes.plot(found_s / scale, y, "D", color=AMBER, markersize=7, markeredgecolor=INK)
            text += f",\nmeasured\n{format_s(found_s)}"
        beside(axes, max(high, found_s / scale), y, text, room_pt=8)
    _rows(axes, [short(case.name or case.subject.label) for case in cases])
    axes.set_xlim(0, (1.45 if any(measured) else 1.2) * most_s / scale or 1)
    keys = [
        Line2D([], [], marker="o", color=BLUE, mec=INK, linestyle="", label="predicted"),
        Patch(facecolor=SKY, alpha=0.55, label=stated),
    ]
    if any(measured):
        diamond = Line2D([], [], marker="D", color=AMBER, linestyle="", label="measured")
        diamond.set_markeredgecolor(INK)
        keys.append(diamond)
    finish(axes, f"time of one step ({unit})")
    keys_above(figure, keys)
    return svg(figure, "interval", "Predicted step with its stated interval, and measured step")


@style.context(RC, after_reset=True)
def breakdown_figure(cases: Cases, rows: Sequence[Sequence[Row]]) -> str:
    """Draw the time of a step by kind as stacked bars, ``rows`` by case."""
    bars = [(case, row) for case, own in zip(cases, rows, strict=True) for row in own]
    figure, (axes,) = grid(NARROW_IN, 1.1 + 0.42 * len(bars))
    most_s = max(row["step_s"] for _, row in bars)
    scale, unit = time_unit(most_s)
    kinds = [kind for kind in KINDS if any(row[kind] for _, row in bars)]
    for y, (_, row) in enumerate(bars):
        left = 0.0
        for kind in kinds:
            width = row[kind] / scale
            hatch = "///" if row["side"] == "measured" else None
            axes.barh(
                y,
                width,
                left=left,
                height=0.62,
                color=KIND_COLOURS[kind],
                hatch=hatch,
                edgecolor=INK,
                linewidth=0,
            )
            left += width
        beside(axes, left, y, format_s(row["step_s"]))
    between = "\n" if any(len(case.name) > LONG for case in cases) else ", "
    labels = [
        f"{short(case.name)}{between if case.name else ''}rank {row['ranks']}"
        + (", measured" if row["side"] == "measured" else "")
        for case, row in bars
    ]
    _rows(axes, labels)
    axes.set_xlim(0, ROOM * most_s / scale or 1)
    finish(axes, f"time of one step ({unit})")
    keys = [Patch(facecolor=KIND_COLOURS[kind], label=kind) for kind in kinds]
    keys_above(figure, keys)
    return svg(figure, "breakdown", "Time of one step by kind")


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a bar chart, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
