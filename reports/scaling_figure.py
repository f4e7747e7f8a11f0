"""Throughput over the number of workers, of every plan of a comparison."""

from matplotlib import style
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports.canvas import (
    CASE_COLOURS,
    INK,
    RC,
    WIDTH_IN,
    finish,
    grid,
    keys_above,
    short,
    svg,
    whole_ticks,
)
from reports.case import Cases

MARKS = "osD^vP"
"""Of the plans of a comparison: lines that lie on each other are still told apart."""


@style.context(RC, after_reset=True)
def scaling_figure(cases: Cases) -> str:
    """Draw a line a case, dashed what as many times one worker would do; both axes logarithmic."""
    figure, (axes,) = grid(WIDTH_IN, 3.6)
    for place, case in enumerate(cases):
        points = case.curve
        colour = CASE_COLOURS[place % len(CASE_COLOURS)]
        batch = case.plans.training.batch
        workers = [point.workers for point in points]
        rates = [batch / point.step_s for point in points]
        name = short(case.name or "predicted")
        mark = MARKS[place % len(MARKS)]
        axes.plot(workers, rates, f"{mark}-", color=colour, label=name, markersize=4, linewidth=1.6)
        if workers[:1] == [1]:
            ideal = [rates[0] * count for count in workers]
            axes.plot(workers, ideal, color=colour, linewidth=1, linestyle=(0, (3, 3)), alpha=0.8)
        own = case.subject.plan.workers
        axes.plot(own, batch / case.subject.prediction.step_s, mark, color=colour, markersize=9)
        if case.measured:
            axes.plot(
                own,
                batch / case.measured.step_s,
                "*",
                markersize=12,
                color=colour,
                markeredgecolor=INK,
                label=f"{name}, measured" if case.name else "measured",
            )
    axes.plot([], [], color=INK, linewidth=1, linestyle=(0, (3, 3)), label="n times one worker")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(_rate))
    axes.yaxis.set_minor_locator(NullLocator())
    whole_ticks(axes, sorted({point.workers for case in cases for point in case.curve}))
    axes.set_ylabel("throughput (samples/s)")
    finish(axes, "workers", axis="both")
    keys_above(figure, axes.get_legend_handles_labels()[0])
    return svg(figure, "scaling", "Throughput over the number of workers")


def _rate(value: float, place: int | None) -> str:
    """Return a rate as the label of an axis: whole, unless it is small."""
    del place
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
