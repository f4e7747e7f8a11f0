"""Figure: synchronous, stale and asynchronous updates among stragglers."""

from collections.abc import Sequence

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwprofiles.units import format_frac, format_s
from planner.staleness import CRITICAL, LINK, MODEL, SAMPLES, WANTED, WORKERS, Question, Run
from reports.canvas import AMBER, BLUE, GREEN, ORANGE, PINK
from reports.talk.page import STYLE, Plate, blank, spread_labels

COLOURS = (BLUE, GREEN, AMBER, ORANGE, PINK)
NAME, TITLE = "stale-updates", "Updates in step, a few steps apart, or in nobody's step"


def plate(asked: Question, runs: Sequence[Run], critical: Sequence[int] = CRITICAL) -> Plate:
    """Return the figure with its caption and numbers."""
    caption = _caption(runs, critical)
    record = {
        "question": asked,
        "critical_batches": list(critical),
        "wanted_effective_samples": WANTED,
        "runs": list(runs),
    }
    figure = _draw(runs, critical, caption)
    return Plate(name=NAME, title=TITLE, caption=caption, figure=figure, record=record)


def _caption(runs: Sequence[Run], critical: Sequence[int]) -> str:
    worst = max(run.spread for run in runs)
    own = {run.policy: run for run in runs if run.spread == worst}
    first, last = own["synchronous"], own["asynchronous"]
    calm = {run.policy: run for run in runs if run.spread == min(r.spread for r in runs)}
    even = calm["asynchronous"].wanted_s[-1] / calm["synchronous"].wanted_s[-1]
    return (
        "Without stragglers all updates are as fast; the more stragglers, the more it pays not to"
        f" wait for them. {MODEL} on {WORKERS} V100 at one switch ({LINK}), {SAMPLES} samples a"
        " gradient, simulated with seeded compute times: compute x (1 + spread x e), e exponential"
        " (Lee et al. 2018)."
        f" With a spread of {worst:g} workers in step wait {format_frac(first.waited_frac, 0)} of"
        f" their time and train {first.samples_per_s:,.0f} samples/s; without steps"
        f" {last.samples_per_s:,.0f}, with gradients that are {last.mean_delay:.0f} updates old"
        f" on average and {last.most_delay} at most. An effective sample then takes 1 + b (1 + t)"
        " / B samples: b those of an update, t the root of greatest x mean delay (Koloskova et"
        " al., NeurIPS 2022), B the critical batch (McCandlish et al. 2018)."
        f" So among stragglers asynchronous updates are"
        f" {first.wanted_s[-1] / last.wanted_s[-1]:.1f} times as fast at B ="
        f" {critical[-1]:,}, {first.wanted_s[0] / last.wanted_s[0]:.1f} times at B ="
        f" {critical[0]:,}; without stragglers they take {even:.2f} times as long. The bound is"
        " an upper one with unknown constants: trust orders, not seconds."
    )


@style.context(STYLE, after_reset=True)
def _draw(runs: Sequence[Run], critical: Sequence[int], caption: str) -> Figure:
    figure = blank(TITLE, caption, 13.0, 4.6)
    panels = figure.subplots(1, 1 + len(critical))
    _panel(panels[0], runs, [run.samples_per_s for run in runs], "samples a second")
    panels[0].set_title("throughput")
    for place, (axes, batch) in enumerate(zip(panels[1:], critical, strict=True)):
        times = [run.wanted_s[place] for run in runs]
        _panel(axes, runs, times, f"time to {WANTED:,.0f} effective samples")
        axes.set_title(f"critical batch {batch:,} samples")
        ticks = [s for s in (60, 120, 300, 600, 1200, 1800, 3600) if _within(axes, s)]
        axes.set_yticks(ticks, [format_s(s) if s < 60 else f"{s / 60:g} min" for s in ticks])
    values = [v for v in (250, 500, 1000, 2000, 4000, 8000) if _within(panels[0], v)]
    panels[0].set_yticks(values, [f"{v:,}" for v in values])
    figure.draw_without_rendering()
    for axes, values_of in zip(panels, _series(runs, len(critical)), strict=True):
        last = max(run.spread for run in runs)
        colours = dict(zip(dict.fromkeys(run.policy for run in runs), COLOURS, strict=False))
        ends = [
            (value, run.policy, colours[run.policy])
            for run, value in zip(runs, values_of, strict=True)
            if run.spread == last
        ]
        spread_labels(axes, ends, _at(runs, last))
    return figure


def _series(runs: Sequence[Run], batches: int) -> list[list[float]]:
    rates = [run.samples_per_s for run in runs]
    return [rates, *([run.wanted_s[place] for run in runs] for place in range(batches))]


def _at(runs: Sequence[Run], spread: float) -> float:
    """Return where a spread stands: one place each, for the first is 0."""
    return float(sorted({run.spread for run in runs}).index(spread))


def _panel(axes: Axes, runs: Sequence[Run], values: Sequence[float], label: str) -> None:
    policies = list(dict.fromkeys(run.policy for run in runs))
    for policy, colour in zip(policies, COLOURS, strict=False):
        points = [
            (_at(runs, run.spread), value)
            for run, value in zip(runs, values, strict=True)
            if run.policy == policy
        ]
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", linewidth=2)
    spreads = sorted({run.spread for run in runs})
    axes.set_xticks(range(len(spreads)), [f"{s:g}" for s in spreads])
    axes.set_xlim(-0.2, len(spreads) + 1.0)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.grid(axis="both")
    axes.set_xlabel("spread of compute times (0: none late)")
    axes.set_ylabel(label)


def _within(axes: Axes, value: float) -> bool:
    low, high = axes.get_ylim()
    return low <= value <= high
