"""What all figures share: colours, units of axes, and SVG that takes its ink from the page.

Fills are the colours of Okabe and Ito, which stay apart for the common kinds of colour blindness.
"""

import math
import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from reports.words import elided

INK, PAPER = "#010203", "#fefdfc"
"""Stand for the page's text and background; become its colours in the SVG."""
BLUE, SKY, GREEN, ORANGE, AMBER, PINK, GREY = (
    "#0072b2",
    "#56b4e9",
    "#009e73",
    "#d55e00",
    "#e69f00",
    "#cc79a7",
    "#8c8c8c",
)
CASE_COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, GREY)
"""Of the plans of a comparison, in their order."""
RC: dict[str, Any] = {
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
NARROW_IN, WIDTH_IN, WIDE_IN = 5.2, 6.4, 10.0
"""Of bars, which a phone shows whole; of curves; and of what lies on an axis of time."""
LABEL_LENGTH = 28
KEYS_IN, KEY_IN, LETTER_IN = 4.9, 0.42, 0.075
"""Widths of a legend, of the sign of a key and of a letter of it."""
NUMBER = re.compile(r"\d+\.\d{3,}")


def grid(
    width_in: float,
    height_in: float,
    panels: int = 1,
    *,
    is_one_scale: bool = True,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return panels one above the other, on one time axis and, if it is a scale, one value axis.

    ``heights`` are those of the panels, over each other.
    """
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(
        panels, 1, sharex=True, sharey=is_one_scale, squeeze=False, height_ratios=heights
    )
    return figure, list(axes[:, 0])


def time_unit(most_s: float) -> tuple[float, str]:
    """Return the unit in which ``most_s`` is at least 1, in seconds, and its name."""
    return next(
        (f, u) for f, u in ((1, "s"), (1e-3, "ms"), (1e-6, "us")) if most_s >= f or f < 1e-5
    )


def bytes_unit(most_bytes: float) -> tuple[float, str]:
    """Return the unit in which ``most_bytes`` is at least 1, in bytes, and its name."""
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
    return next((f, u) for f, u in units if most_bytes >= f or f == 1)


def beside(axes: Axes, x: float, y: float, label: str, room_pt: float = 4) -> None:
    """Write a value just right of its bar or marker."""
    axes.annotate(
        label, (x, y), xytext=(room_pt, 0), textcoords="offset points", va="center", fontsize=9
    )


def keys_above(figure: Figure, keys: Sequence[Artist]) -> None:
    """Explain colours and lines above all panels, in as many rows as keep it seen on a phone."""
    longest = max(len(str(key.get_label())) for key in keys)
    in_a_row = max(2, int(KEYS_IN / (KEY_IN + LETTER_IN * longest)))
    rows = math.ceil(len(keys) / in_a_row)
    figure.legend(
        handles=list(keys),
        loc="outside upper left",
        ncols=math.ceil(len(keys) / rows),
        frameon=False,
        handlelength=1.4,
        columnspacing=1.4,
    )


def short(name: str, most: int = LABEL_LENGTH) -> str:
    """Return a name from a file as a label: not long, and no formula."""
    return elided(name, most).replace("$", r"\$")


def finish(axes: Axes, xlabel: str, *, legend: int = 0, axis: str = "x") -> None:
    """Name the x axis, draw its grid and, with ``legend`` columns, the legend above."""
    axes.set_xlabel(xlabel)
    axes.grid(axis="both" if axis == "both" else "x")
    if legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=legend, frameon=False)


def whole_ticks(axes: Axes, at: Sequence[int]) -> None:
    """Put ticks of the x axis at these whole numbers, on whatever scale."""
    axes.set_xticks(list(at))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def standalone(drawn: str) -> str:
    """Return an inline SVG as a file of its own, dark on light paper."""
    own = 'xmlns="http://www.w3.org/2000/svg"'
    drawn = drawn.replace("<svg ", f"<svg {own} ", 1)
    return drawn.replace('style="', 'style="color: #1a1a1a; background: #fff; --paper: #fff; ', 1)


@style.context(RC, after_reset=True)
def svg(figure: Figure, name: str, label: str) -> str:
    """Return the figure as inline SVG: no date, no address, ids that no other figure has."""
    text = StringIO()
    bare = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=bare)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r' xmlns(:xlink)?="[^"]*"', "", drawn).replace("xlink:href", "href")
    drawn = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{name}-", drawn)
    drawn = NUMBER.sub(lambda found: f"{float(found[0]):.2f}", drawn)
    drawn = drawn.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    natural = f"--natural: {72 * figure.get_figwidth():.0f}pt"
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" style="{natural}" ', 1)
