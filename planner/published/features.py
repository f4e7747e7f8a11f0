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
from typing import Any, NamedTuple

import numpy as np

from hwprofiles.device import NARROW, Device
from hwprofiles.efficiency import Table, memory_from, peak_from, peak_key, power_frac, unit_of
from hwprofiles.tiles import Chain, Product
from hwprofiles.units import US, Floats, Ints
from planner import steps
from planner.layer_calls import layer_calls
from planner.opcall import OpCall
from planner.optimizer import closing
from planner.plan import Training
from planner.published.case import Case, shipped_device
from planner.published.predict import bounds, model_of

NONE = -1
"""Index of the constant 1."""
RUNS = 512
"""Runs whose ops are kept; those of one model, batch and dtype are the same."""
SELDOM = 0.3
"""An op that computes no product is bound by memory where its arithmetic, at the peak, takes so
much of the time that its traffic does: the constants do not turn that around."""


class Work(NamedTuple):
    """What the time of an op depends on."""

    op_class: str
    kind: str
    """Class of work."""
    channels: int
    product: Product | None
    chain: Chain | None
    flop: int
    moved: int


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
    """(T,) arithmetic at what the shape of the op leaves of the peak."""
    memory_s: Floats
    """(T,) traffic at the peak."""
    count: Ints
    """(T,) how often the op fires in a step."""
    kernels: Ints
    """(T,) how many kernels that takes."""
    places: Ints
    """(8, T) constants: peak, class, products, memory_frac, memory, narrow, kernel, launch."""

    def alone_s(self, logs: Floats) -> tuple[Floats, Floats]:
        """Return the sum of the ops of every run, seconds, and its derivatives.

        Shapes (R,) and (R, P); ``logs`` are the logarithms of the constants, and so are what the
        derivatives are by.
        """
        values = np.append(np.exp(logs), 1.0)  # the last is NONE
        peak, ratio, products, memory_frac, traffic, narrow, kernel_s, launch = values[self.places]
        products_s = self.products_s * products / (peak * ratio) * self.count
        memory_s = self.memory_s * traffic / (memory_frac * narrow) * self.count
        bound = products_s >= memory_s
        computed, moved = np.where(bound, products_s, 0.0), np.where(bound, 0.0, memory_s)
        started = kernel_s * launch * self.kernels
        width = len(logs) + 1
        slopes: Floats = np.zeros(self.runs * width)
        by_place = (-computed, -computed, computed, -moved, moved, -moved, started, started)
        for place, slope in zip(self.places, by_place, strict=True):
            at = self.run * width + place % width
            slopes += np.bincount(at, weights=slope, minlength=len(slopes))
        busy_s = computed + moved + started
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
            count=self.count[kept],
            kernels=self.kernels[kept],
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
    """Return the ops of all runs; constants that they need are added to ``known``.

    Ops that compute no product are one: their traffic, under as many kernels.
    """
    rows: list[tuple[float, ...]] = []
    places: list[tuple[int, ...]] = []
    for number, case in enumerate(cases):
        device, dtype = shipped_device(case.device), case.training.dtype
        at, raised = _places(case, known, device)
        fused = case.stack in known.priors["fused"]
        moved_s, fired = 0.0, 0
        for op, count in work_of(case).items():
            peak = device.curve(op.op_class, dtype)
            products_s, memory_s = op.flop / peak.flop_per_s, op.moved / peak.bytes_per_s
            if op.kind != "memory":
                shape = (op.kind, op.channels, op.product, op.chain)
                products_s /= device.shape_frac(dtype, *shape) * raised
                kernels = count * (1 + (op.chain.steps if op.chain else 0))
                rows.append((number, products_s, memory_s, count, kernels))
                places.append(at(op.kind))
            elif products_s < SELDOM * memory_s:
                moved_s, fired = moved_s + memory_s * count, fired + count
            else:
                rows.append((number, products_s, memory_s, count, 0 if fused else count))
                places.append(at(op.kind))
        rows.append((number, 0.0, moved_s, 1, 0 if fused else fired))
        places.append(at("memory"))
    run, products_s_of, memory_s_of, counts, kernels = np.array(rows).T
    return Ops(
        runs=len(cases),
        run=run.astype(np.int64),
        products_s=products_s_of,
        memory_s=memory_s_of,
        count=counts.astype(np.int64),
        kernels=kernels.astype(np.int64),
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
        lone = case.plan.microbatch == case.training.batch
        found = [(1.0, 0.0)] if lone else _bounds(case, own_s, table)
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
    case: Case, known: Constants, device: Device
) -> tuple[Callable[[str], tuple[int, ...]], float]:
    """Return the places of an op's constants, by its class of work, and a factor on the peak.

    The factor is that of a fraction that is another generation's, and of the board's power.
    """
    dtype, blocks = case.training.dtype, known.priors["generations"]
    own = generation_of(case.device, known.priors)
    unit = unit_of(device, dtype)
    ratios = known.priors["units"][unit]
    peak, raised = NONE, 1.0
    if found := peak_from(blocks, own, peak_key(device, dtype)):
        whose, key, raised = found
        prior = blocks[whose]["peak_frac"][key]
        peak = known.place(f"{whose}.peak_frac.{key}", prior, "peak_frac")
    name = memory_from(blocks, own)
    block = blocks[name]
    memory_frac = known.place(f"{name}.memory_frac", block["memory_frac"], "memory_frac")
    kernel = known.place(f"{name}.kernel_us", block["kernel_us"] * US, "kernel_us")
    products = known.place(f"{case.stack}.products", 1.0, "stack")
    traffic = known.place(f"{case.stack}.memory", 1.0, "stack")
    launch = NONE
    if case.stack in known.priors["launches"]:
        launch = known.place(f"{case.stack}.launch", 1.0, "launch")
    narrow = NONE
    if unit == "matrix" and dtype in NARROW:
        narrow = known.place(f"{unit}.narrow", ratios["narrow"], "narrow")

    def at(kind: str) -> tuple[int, ...]:
        if kind == "memory":
            return (NONE, NONE, NONE, memory_frac, traffic, narrow, kernel, launch)
        ratio = known.place(f"{unit}.classes.{kind}", ratios["classes"][kind], "class")
        return (peak, ratio, products, memory_frac, traffic, NONE, kernel, launch)

    return at, raised * power_frac(device, blocks, own)


def generation_of(device: str, priors: Mapping[str, Any]) -> str:
    """Return the generation that a device belongs to."""
    for name, block in priors["generations"].items():
        if device in block["devices"]:
            return str(name)
    raise AssertionError(f"{device} belongs to no generation of priors.toml")


def work_of(case: Case) -> Counter[Work]:
    """Return the ops of one step on one worker, and how often each fires."""
    training, samples = case.training, case.plan.microbatch
    rounds = case.plan.microbatches(training.batch)
    return _work_of(case.model, training.dtype, samples, rounds, case.passes_only)


@lru_cache(maxsize=RUNS)
def _work_of(name: str, dtype: str, samples: int, rounds: int, passes_only: bool) -> Counter[Work]:
    model, training = model_of(name), Training(batch=samples, dtype=dtype)
    calls = [call for layer in layer_calls(model, samples, dtype) for call in layer.fired]
    calls.append(steps.loss(model, samples, dtype, samples))
    if not passes_only:
        calls.append(steps.load(model, samples, dtype))
    found = Counter(map(_work, calls))
    for work in found:
        found[work] *= rounds
    if not passes_only:
        found += Counter(map(_work, closing(training, model.parameter_count)))
    return found


def _work(call: OpCall) -> Work:
    return Work(
        op_class=call.op_class,
        kind=call.work_class,
        channels=call.channels,
        product=call.product,
        chain=call.chain,
        flop=call.flop,
        moved=call.moved_bytes,
    )
