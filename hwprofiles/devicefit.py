"""Fits for a device with one memory behind all its cores: measured ops to curves of any op.

On a CPU each class of ops meets caches in its own way, and :func:`hwprofiles.fit.fit_curves` asks
its samples alone. A GPU has one memory and one way to start a kernel, so that what the samples of a
class leave open is what other classes show: a class takes from its own samples the one rate that
bounds it, and from the device the rest. A class that was never measured is priced as the work that
it is, by the ops of all classes of that work.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import fmean, median

from hwprofiles.calibration import OpSample
from hwprofiles.device import Device, OpCurve
from hwprofiles.grade import Grade

MEMORY = "memory"
"""Class of work of ops that compute no product."""
MANY_SMALL = ("conv_grouped", "conv_depthwise")
"""Classes of work of many small products, which say nothing of the others' rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What all ops of a device in one dtype show."""

    shortest_s: float
    """The shortest op: what any takes beside its work."""
    bytes_per_s: float
    """The best rate of any op that computes no product."""
    best_flop_per_s: float
    """The best rate of any product, many small ones apart."""
    usual_flop_per_s: float
    """The rate of those products that show theirs."""
    peak_flop_per_s: float
    """Of the datasheet, for ops that arithmetic never bounds."""

    def best(self, op: OpSample, *, is_product: bool) -> float:
        """Return the least time of the work that bounds a class at the best rates, seconds."""
        if is_product:
            return op.flop / self.best_flop_per_s
        return op.moved_bytes / self.bytes_per_s

    def shows(self, op: OpSample, *, is_product: bool) -> bool:
        """Whether the rate that bounds a class shows in the time of an op.

        It does not where the op would take as long without its work, nor in a product that waits
        for memory.
        """
        waits_s = op.moved_bytes / self.bytes_per_s if is_product else 0.0
        return self.best(op, is_product=is_product) >= max(self.shortest_s, waits_s)

    def rate(self, ops: Iterable[OpSample], *, is_product: bool) -> float:
        """Return the rate that ops show: the geometric mean, least squares of the log of time."""
        logs = []
        for op in ops:
            least_s = self.best(op, is_product=is_product)
            work = op.flop if is_product else op.moved_bytes
            logs.append(log(work / max(op.median_s - self.shortest_s, least_s)))
        return exp(fmean(logs))


def fit_device(
    device: Device, samples: Iterable[OpSample], work_classes: Mapping[str, str]
) -> Device:
    """Return ``device`` with curves of all ops whose class, or whose work, was measured.

    Parameters
    ----------
    device : Device
        What is not measured keeps its efficiency, or else its peaks.
    samples : iterable of OpSample
        Ops that were measured on it; the order does not matter.
    work_classes : mapping
        ``OpCall.work_class`` of each sample by its signature.

    Notes
    -----
    ASSUMES: every op takes the time of the shortest one beside its work, unless its class shows
    nothing else; memory serves products at the best rate that it serves any op; a convolution of
    few channels is as fast as others of its class, though it is not, and counts as one of many.

    The law was chosen by models left out among the ops of one GPU (H200), so that errors there are
    those of a law that has seen them. Of 19 steps the median error is 19 %; where a class of ops
    is not told apart by its work, 24 %: a first layer or a pointwise convolution then pulls the
    rest. AlexNet's two groups have no like in other models and are priced as published runs of
    older libraries found such ones, most of them 2 to 5 times too slow. Ops of another GPU will say
    what it is worth.
    """
    dtypes: dict[str, list[OpSample]] = defaultdict(list)
    for sample in samples:
        dtypes[sample.dtype].append(sample)
    curves: dict[str, OpCurve] = {}
    for dtype, ops in sorted(dtypes.items()):
        ordered = sorted(ops, key=lambda op: op.signature)
        found = _of_dtype(device, dtype, ordered, work_classes)
        curves |= {f"{name}/{dtype}": curve for name, curve in found.items()}
    return replace(device, curves=curves)


def _of_dtype(
    device: Device, dtype: str, ops: Sequence[OpSample], work_classes: Mapping[str, str]
) -> dict[str, OpCurve]:
    """Return curves by op class, by class of work, and by both for many small products."""
    kinds: dict[str, list[OpSample]] = defaultdict(list)
    dense: dict[str, list[OpSample]] = defaultdict(list)
    moving: list[OpSample] = []
    products: set[str] = set()
    for op in ops:
        work = work_classes[op.signature]
        pair = f"{op.op_class}:{work}"
        names = [pair] if work in MANY_SMALL else [pair, op.op_class, work]
        for name in names:
            kinds[name].append(op)
        if work == MEMORY:
            moving.append(op)
            continue
        products.update(names)
        if work not in MANY_SMALL:
            dense[op.op_class].append(op)
    shown = _shown(device, ops, moving, [op for of in dense.values() for op in of])
    curves = {name: _fitted(name, of, shown, name in products) for name, of in kinds.items()}
    for name in dense:
        for small in MANY_SMALL if name.startswith("conv") else ():
            known = device.curve(name, dtype, work_class=small)
            curves.setdefault(f"{name}:{small}", known)
    return curves


def _shown(
    device: Device, ops: Sequence[OpSample], moving: Sequence[OpSample], dense: Sequence[OpSample]
) -> _Shown:
    peak = max(device.peak_flop_per_s.values())
    rates = [op.moved_bytes / op.median_s for op in moving]
    best = max((op.flop / op.median_s for op in dense), default=0.0) or peak
    shown = _Shown(
        shortest_s=min(op.median_s for op in ops),
        bytes_per_s=max(rates, default=0.0) or device.memory_bytes_per_s,
        best_flop_per_s=best,
        usual_flop_per_s=best,
        peak_flop_per_s=peak,
    )
    telling = [op for op in dense if shown.shows(op, is_product=True)]
    return (
        replace(shown, usual_flop_per_s=shown.rate(telling, is_product=True)) if telling else shown
    )


def _fitted(name: str, ops: Sequence[OpSample], shown: _Shown, is_product: bool) -> OpCurve:
    telling = [op for op in ops if shown.shows(op, is_product=is_product)]
    rate = shown.usual_flop_per_s if is_product else shown.bytes_per_s
    if telling:
        rate = shown.rate(telling, is_product=is_product)
    curve = OpCurve(
        flop_per_s=rate if is_product else shown.peak_flop_per_s,
        bytes_per_s=shown.bytes_per_s if is_product else rate,
        overhead_s=shown.shortest_s,
        grade=Grade.FITTED,
        source=f"{name}: rate of {len(telling)} of {len(ops)} samples, the rest as the device's",
    )
    if telling:
        return curve
    alone = replace(curve, overhead_s=0.0)
    left_s = [op.median_s - alone.time_s(float(op.flop), float(op.moved_bytes)) for op in ops]
    return replace(curve, overhead_s=max(shown.shortest_s, median(left_s)))
