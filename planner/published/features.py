"""What the time of published runs is made of, as arrays: the ops of a step, and its exchange.

Index letters: R runs, T distinct ops of a run, B bounds of a run, P constants. A step takes the
largest of its bounds, each a share of what the worker has to do alone and a time after it: that is
exact where the constants are those that the bounds were taken at, and near it elsewhere, for
constants move an exchange little.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import log
from typing import Any

import numpy as np

from hwprofiles.device import CHANNELS_GAIN
from hwprofiles.efficiency import Table, on_matrix
from hwprofiles.parts import load_device
from hwprofiles.units import US, Floats, Ints
from planner import steps
from planner.layer_calls import layer_calls
from planner.optimizer import closing
from planner.plan import Training
from planner.published.cases import Case
from planner.published.predict import bounds, model_of

NONE = -1
"""Index of the constant 1."""
RUNS = 512
"""Runs whose ops are kept; those of one model, batch and dtype are the same."""
Work = tuple[str, str, int, int, int]
"""Op class, class of work, channels, FLOP and bytes moved."""


@dataclass(slots=True)
class Constants:
    """Constants by name: where each begins, and how far it may go."""

    priors: Mapping[str, Any]
    names: list[str] = field(default_factory=list)
    prior: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)

    def place(self, name: str, prior: float, kind: str) -> int:
        """Return the place of a constant; a new one begins at its prior.

        A constant that is another one has the place, and the prior, of that.
        """
        name = self.priors["shared"].get(name, name)
        if not name:
            return NONE
        if name not in self.names:
            self.names.append(name)
            self.prior.append(log(prior))
            self.width.append(self.priors["width"][kind])
        return self.names.index(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops:
    """Every distinct op of every run."""

    runs: int
    run: Ints
    """(T,) which run."""
    products_s: Floats
    """(T,) arithmetic at the peak, were it reached."""
    memory_s: Floats
    """(T,) traffic at the peak."""
    channels: Ints
    """(T,)"""
    count: Ints
    """(T,) how often the op fires in a step."""
    places: Ints
    """(7, T) constants: peak, class, half_channels, products, memory_frac, memory, kernel."""

    def alone_s(self, logs: Floats) -> tuple[Floats, Floats]:
        """Return the sum of the ops of every run, seconds, and its derivatives.

        Shapes (R,) and (R, P); ``logs`` are the logarithms of the constants, and so are what the
        derivatives are by.
        """
        values = np.append(np.exp(logs), 1.0)  # the last is NONE
        peak, ratio, half, products, memory_frac, traffic, kernel_s = values[self.places]
        matters = self.places[2] != NONE
        reached = CHANNELS_GAIN * self.channels / (self.channels + half)
        frac = peak * ratio * np.where(matters, reached, 1.0) / products
        products_s, memory_s = self.products_s / frac, self.memory_s * traffic / memory_frac
        bound = products_s >= memory_s
        computed, moved = np.where(bound, products_s, 0.0), np.where(bound, 0.0, memory_s)
        slower: Floats = np.where(matters, half / (self.channels + half), 0.0)
        by_place = (-computed, -computed, computed * slower, computed, -moved, moved, kernel_s)
        width = len(logs) + 1
        slopes: Floats = np.zeros(self.runs * width)
        for place, slope in zip(self.places, by_place, strict=True):
            at = self.run * width + place % width
            slopes += np.bincount(at, weights=slope * self.count, minlength=len(slopes))
        busy_s = (computed + moved + kernel_s) * self.count
        total = np.bincount(self.run, weights=busy_s, minlength=self.runs).astype(np.float64)
        return total, slopes.reshape(self.runs, width)[:, :-1]

    def of_runs(self, chosen: Ints) -> "Ops":
        """Return the ops of some runs, in their order, which is that of all."""
        number = np.full(self.runs, -1)
        number[chosen] = np.arange(len(chosen))
        kept = number[self.run] >= 0
        return Ops(
            runs=len(chosen),
            run=number[self.run[kept]],
            products_s=self.products_s[kept],
            memory_s=self.memory_s[kept],
            channels=self.channels[kept],
            count=self.count[kept],
            places=self.places[:, kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lower bounds of every run, one after the other; those that others imply are left out."""

    first: Ints
    """(R,) where the bounds of a run begin."""
    share: Floats
    """(sum of B,) share of the work alone that is done before."""
    after_s: Floats
    """(sum of B,) seconds after it."""

    def step_s(self, alone_s: Floats) -> tuple[Floats, Floats]:
        """Return the time of every run's step, and its derivative by the work alone, (R,)."""
        counts = np.diff(np.append(self.first, len(self.share)))
        every = np.repeat(alone_s, counts) * self.share + self.after_s
        step: Floats = np.maximum.reduceat(every, self.first)
        tight = every >= np.repeat(step, counts)
        return step, np.maximum.reduceat(np.where(tight, self.share, 0.0), self.first)

    def of_runs(self, chosen: Ints) -> "Bounds":
        """Return the bounds of some runs, in their order."""
        ends = np.append(self.first, len(self.share))
        spans = [np.arange(ends[i], ends[i + 1]) for i in chosen]
        kept = np.concatenate(spans)
        first = np.cumsum([0, *(len(span) for span in spans[:-1])])
        return Bounds(first=first, share=self.share[kept], after_s=self.after_s[kept])


def ops_of(cases: Sequence[Case], known: Constants) -> Ops:
    """Return the ops of all runs; constants that they need are added to ``known``."""
    rows: list[tuple[float, ...]] = []
    places: list[tuple[int, ...]] = []
    for number, case in enumerate(cases):
        device, dtype = load_device(case.device), case.training.dtype
        at = _places(case, known, on_matrix(device, dtype))
        for (op_class, kind, channels, flop, moved), count in work_of(case).items():
            peak = device.curve(op_class, dtype)
            times = (flop / peak.flop_per_s, moved / peak.bytes_per_s)
            rows.append((number, *times, channels, count))
            places.append(at(kind, bool(channels)))
    run, products_s, memory_s, channels_of, counts = np.array(rows).T
    return Ops(
        runs=len(cases),
        run=run.astype(np.int64),
        products_s=products_s,
        memory_s=memory_s,
        channels=channels_of.astype(np.int64),
        count=counts.astype(np.int64),
        places=np.array(places).T,
    )


def bounds_of(cases: Sequence[Case], alone_s: Floats, table: Table) -> Bounds:
    """Return the bounds of all runs at the constants of ``table``.

    ``alone_s``, shape (R,), is what ``Ops.alone_s`` gives at these constants.
    """
    first: list[int] = []
    shares: list[float] = []
    afters: list[float] = []
    for case, own_s in zip(cases, alone_s.tolist(), strict=True):
        first.append(len(shares))
        found = _bounds(case, own_s, table) if case.plan.workers > 1 else [(1.0, 0.0)]
        for share, after_s in found:
            shares.append(share)
            afters.append(after_s)
    return Bounds(first=np.array(first), share=np.array(shares), after_s=np.array(afters))


def _bounds(case: Case, alone_s: float, table: Table) -> list[tuple[float, float]]:
    """Return share and time after of the bounds of a run, the largest share first."""
    kept: list[tuple[float, float]] = []
    for own_s, after_s in sorted(bounds(case, case.machine(table)), reverse=True):
        if not kept or after_s > kept[-1][1]:
            kept.append((own_s / alone_s, after_s))
    return kept


def _places(
    case: Case, known: Constants, is_matrix: bool
) -> Callable[[str, bool], tuple[int, ...]]:
    """Return the places of an op's constants, by its class of work and whether channels matter."""
    name = generation_of(case.device, known.priors)
    block = known.priors["generations"][name]
    unit = "matrix" if is_matrix else "vector"
    ratios = known.priors["units"][unit]
    key = case.training.dtype if is_matrix else "float32"
    peak = known.place(f"{name}.peak_frac.{key}", block["peak_frac"][key], "peak_frac")
    memory_frac = known.place(f"{name}.memory_frac", block["memory_frac"], "memory_frac")
    kernel = known.place(f"{name}.kernel_us", block["kernel_us"] * US, "kernel_us")
    half = known.place(f"{unit}.half_channels", ratios["half_channels"], "half_channels")
    products = known.place(f"{case.stack}.products", 1.0, "stack")
    traffic = known.place(f"{case.stack}.memory", 1.0, "stack")

    def at(kind: str, matters: bool) -> tuple[int, ...]:
        if kind == "memory":
            return (NONE, NONE, NONE, NONE, memory_frac, traffic, kernel)
        ratio = known.place(f"{unit}.classes.{kind}", ratios["classes"][kind], "class")
        rest = (half if matters else NONE, products, memory_frac, traffic, kernel)
        return (peak, ratio, *rest)

    return at


def generation_of(device: str, priors: Mapping[str, Any]) -> str:
    """Return the generation that a device belongs to."""
    for name, block in priors["generations"].items():
        if device in block["devices"]:
            return str(name)
    raise AssertionError(f"{device} belongs to no generation of priors.toml")


def work_of(case: Case) -> Counter[Work]:
    """Return the ops of one step on one worker, and how often each fires."""
    training = case.training
    return _work_of(case.model, training.dtype, case.plan.microbatch, case.passes_only)


@lru_cache(maxsize=RUNS)
def _work_of(name: str, dtype: str, samples: int, passes_only: bool) -> Counter[Work]:
    model, training = model_of(name), Training(batch=samples, dtype=dtype)
    calls = [call for layer in layer_calls(model, samples, dtype) for call in layer.fired]
    calls.append(steps.loss(model, samples, dtype, samples))
    if not passes_only:
        calls += [steps.load(model, samples, dtype), *closing(training, model.parameter_count)]
    return Counter((c.op_class, c.work_class, c.channels, c.flop, c.moved_bytes) for c in calls)
