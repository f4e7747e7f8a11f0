"""One picture of all published rows: predicted against measured time of a step, log-log."""

from io import BytesIO

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from planner.published.record import PublishedRecord
from reports.canvas import CASE_COLOURS, GREY

DPI = 110
SIZE_IN = 6.4
MARKERS = "osD^v<>P"
RATIO = 1.5
"""Of the dashed lines: predicted half as long again as measured, or the reverse."""


@style.context({"font.size": 9.0}, after_reset=True)
def published_png(record: PublishedRecord) -> bytes:
    """Return the picture as PNG; colour and marker tell the generation of devices."""
    rows = [row for table in record.tables for row in table.rows]
    generations = sorted({row.generation for row in rows})
    figure = Figure(figsize=(SIZE_IN, SIZE_IN), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, generation in enumerate(generations):
        own = [row for row in rows if row.generation == generation]
        axes.loglog(
            [row.published_s for row in own],
            [row.predicted_s for row in own],
            MARKERS[number % len(MARKERS)],
            color=CASE_COLOURS[number % len(CASE_COLOURS)],
            markersize=3.5,
            alpha=0.7,
            markeredgewidth=0,
            label=f"{generation} ({len(own)})",
        )
    times = [t for row in rows for t in (row.published_s, row.predicted_s)]
    ends = (min(times) / 1.2, max(times) * 1.2)
    axes.plot(ends, ends, color="black", linewidth=0.8)
    for ratio in (RATIO, 1 / RATIO):
        axes.plot(ends, [end * ratio for end in ends], "--", color=GREY, linewidth=0.8)
    axes.set(xlim=ends, ylim=ends, xlabel="measured (s a step)", ylabel="predicted (s a step)")
    axes.set_aspect("equal")
    axes.grid(visible=True, alpha=0.2)
    axes.legend(loc="upper left", frameon=False)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": ""})
    return drawn.getvalue()
