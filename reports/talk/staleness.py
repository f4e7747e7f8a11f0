"""Figure: synchronous, stale and asynchronous updates among stragglers."""

from collections.abc import Callable, Iterable, Sequence

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwprofiles.units import format_frac, format_s
from planner.staleness import CRITICAL, LINK, MODEL, SAMPLES, WANTED, WORKERS, Question, Run
from reports.canvas import AMBER, BLUE, GREEN, ORANGE, PINK
from reports.talk.page import STYLE, Plate, blank, spread_labels

COLOURS = (BLUE, GREEN, AMBER, ORANGE, PINK)
NAME = "stale-updates"
LABELS = 2.5
"""Room right of the lines for their names, in places of a spread."""
SETTING = (
    f"{MODEL} on {WORKERS} V100 at one switch ({LINK}), {SAMPLES} samples a gradient, simulated"
    " with seeded compute times: compute x (1 + spread x e), e exponential (Lee et al. 2018)."
    " Effective samples by the bound of Koloskova et al. (NeurIPS 2022) with the critical batch of"
    " McCandlish et al. (2018), whose constants are unknown: trust orders, not seconds."
)


def plate(asked: Question, runs: Sequence[Run], critical: Sequence[int] = CRITICAL) -> Plate:
    """Return the figure with its caption and numbers."""
    record = {
        "question": asked,
        "critical_batches": list(critical),
        "wanted_effective_samples": WANTED,
        "runs": list(runs),
    }
    title = _title(runs)
    return Plate(
        name=NAME,
        title=title,
        caption=_caption(runs, critical),
        figure=_draw(runs, critical, title),
        record=record,
    )


def _ends(runs: Sequence[Run], pick: Callable[[Iterable[float]], float]) -> tuple[Run, Run]:
    """Return the runs in step and in nobody's step at the least or the greatest spread."""
    spread = pick(run.spread for run in runs)
    own = {run.policy: run for run in runs if run.spread == spread}
    return own["synchronous"], own["asynchronous"]


def _title(runs: Sequence[Run]) -> str:
    first, last = _ends(runs, max)
    calm, loose = _ends(runs, min)
    most = max(a / b for a, b in zip(first.wanted_s, last.wanted_s, strict=True))
    price = loose.wanted_s[-1] / calm.wanted_s[-1] - 1
    return (
        f"Among stragglers it pays not to wait, here up to {most:.1f} times;"
        f" without them it costs {format_frac(price, 0)}"
    )


def _caption(runs: Sequence[Run], critical: Sequence[int]) -> str:
    first, last = _ends(runs, max)
    return (
        f"{SETTING} With a spread of {first.spread:g} workers in step wait"
        f" {format_frac(first.waited_frac, 0)} of their time and train"
        f" {first.samples_per_s:,.0f} samples/s; without steps {last.samples_per_s:,.0f}, with"
        f" gradients that are {last.mean_delay:.0f} updates old on average and {last.most_delay}"
        " at most. An effective sample then takes 1 + b (1 + t) / B samples: b those of an update,"
        " t the root of greatest x mean delay, B the critical batch. So asynchronous updates are"
        f" {first.wanted_s[-1] / last.wanted_s[-1]:.1f} times as fast at B = {critical[-1]:,},"
        f" {first.wanted_s[0] / last.wanted_s[0]:.1f} times at B = {critical[0]:,}. Stale by k: no"
        " worker is more than k steps ahead of another."
    )


@style.context(STYLE, after_reset=True)
def _draw(runs: Sequence[Run], critical: Sequence[int], title: str) -> Figure:
    figure = blank(title, SETTING, 13.0, 4.8)
    panels = figure.subplots(1, 1 + len(critical))
    _panel(panels[0], runs, [run.samples_per_s for run in runs], "samples a second")
    panels[0].set_title("throughput")
    for axes in panels[2:]:
        axes.sharey(panels[1])
    for place, (axes, batch) in enumerate(zip(panels[1:], critical, strict=True)):
        times = [run.wanted_s[place] for run in runs]
        _panel(axes, runs, times, f"time to {WANTED:,.0f} effective samples")
        axes.set_title(f"critical batch {batch:,} samples")
    for axes in panels[1:]:
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
    axes.set_xlim(-0.2, len(spreads) - 1 + LABELS)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.grid(axis="both")
    axes.set_xlabel("spread of compute times (0: none late)")
    axes.set_ylabel(label)


def _within(axes: Axes, value: float) -> bool:
    low, high = axes.get_ylim()
    return low <= value <= high
