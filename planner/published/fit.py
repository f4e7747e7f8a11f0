"""Fit the efficiencies of devices and software to published runs: ``python -m ...fit TABLE.csv``.

A run's step is the sum of its ops, each ``max(products, memory) + kernel``, the law of
``Device.curve``, and of what its exchange adds to that in the closed form. Residuals are logarithms
of predicted over published time under a soft absolute loss; every constant is drawn to a physical
prior. The exchange is taken from the closed form and renewed between two fits.
"""

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from hwprofiles import efficiency
from hwprofiles.device import CHANNELS_GAIN
from hwprofiles.parts import load_device
from hwprofiles.units import US, Floats, Ints
from planner.calls import StepCalls
from planner.model import load_model
from planner.opcall import OpCall
from planner.published.cases import MANY, Case, Unsaid, express
from planner.published.predict import predicted_s
from planner.published.rows import Row, read_rows

PRIORS = Path(__file__).with_name("priors.toml")
TARGET = Path(efficiency.__file__).parent / "data" / efficiency.DATA
RESIDUAL = 0.1
"""Scale of a residual: 10 %."""
PULL = 0.5
"""Weight of a constant's distance from its prior, in widths."""
ROUNDS = 2
NONE = -1
"""Index of the constant 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A published run that constants are fitted to."""

    row: Row
    case: Case
    published_s: float


def samples(rows: Iterable[Row]) -> list[Sample]:
    """Return the runs that can be expressed, are not flagged and have not too many workers."""
    found = []
    for row in rows:
        try:
            case = express(row.told)
        except Unsaid:
            continue
        step_s = row.step_s(case.training.batch)
        if step_s and not row.flagged and case.plan.workers <= MANY:
            found.append(Sample(row=row, case=case, published_s=step_s))
    return found


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
class Terms:
    """Every distinct op of every run: one table of T rows."""

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

    def step_s(self, logs: Floats) -> tuple[Floats, Floats]:
        """Return the sum of the ops of every run, seconds, and its derivatives.

        Shapes (runs,) and (runs, constants); ``logs`` are the logarithms of the constants, and so
        are what the derivatives are by.
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


def terms_of(cases: Sequence[Case], known: Constants) -> Terms:
    """Return the ops of all runs; constants that they need are added to ``known``."""
    rows: list[tuple[float, ...]] = []
    places: list[tuple[int, ...]] = []
    for number, case in enumerate(cases):
        device, dtype = load_device(case.device), case.training.dtype
        at = _places(case, known, f"{dtype}_matrix" in device.peak_flop_per_s)
        work = Counter(
            (c.op_class, c.work_class, c.channels, c.flop, c.moved_bytes) for c in _ops(case)
        )
        for (op_class, kind, channels, flop, moved), count in work.items():
            peak = device.curve(op_class, dtype)
            times = (flop / peak.flop_per_s, moved / peak.bytes_per_s)
            rows.append((number, *times, channels, count))
            places.append(at(kind, bool(channels)))
    run, products_s, memory_s, channels_of, counts = np.array(rows).T
    return Terms(
        runs=len(cases),
        run=run.astype(np.int64),
        products_s=products_s,
        memory_s=memory_s,
        channels=channels_of.astype(np.int64),
        count=counts.astype(np.int64),
        places=np.array(places).T,
    )


def _places(
    case: Case, known: Constants, is_matrix: bool
) -> Callable[[str, bool], tuple[int, ...]]:
    """Return the places of the constants of an op, by its class and whether channels matter."""
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
    raise AssertionError(f"{device} belongs to no generation of {PRIORS.name}")


def fitted(terms: Terms, known: Constants, exchange_s: Floats, published_s: Floats) -> Floats:
    """Return the logarithms of the constants that fit best."""
    prior, width = np.array(known.prior), np.array(known.width)

    def residuals(logs: Floats) -> Floats:
        error = np.log((terms.step_s(logs)[0] + exchange_s) / published_s)
        return np.concatenate([error / RESIDUAL, PULL * (logs - prior) / width])

    def slopes(logs: Floats) -> Floats:
        alone_s, by_constant = terms.step_s(logs)
        of_runs = by_constant / (alone_s + exchange_s)[:, None] / RESIDUAL
        return np.concatenate([of_runs, np.diag(PULL / width)])

    found: Floats = least_squares(residuals, prior, jac=slopes, loss="soft_l1").x
    return found


def fit(found: Sequence[Sample], priors: Mapping[str, Any]) -> dict[str, Any]:
    """Fit all constants; return the content of ``efficiency.toml``."""
    known = Constants(priors=priors)
    cases = [sample.case for sample in found]
    terms = terms_of(cases, known)
    published_s = np.array([sample.published_s for sample in found])
    logs, exchange_s = np.array(known.prior), np.zeros(len(found))
    for _ in range(ROUNDS):
        table = content(logs, known, found)
        alone_s, _ = terms.step_s(logs)
        for i, case in enumerate(cases):
            if case.plan.workers > 1:
                machine = case.machine(table)
                exchange_s[i] = max(0.0, predicted_s(case, machine) - alone_s[i])
        logs = fitted(terms, known, exchange_s, published_s)
    return content(logs, known, found)


def content(logs: Floats, known: Constants, found: Sequence[Sample]) -> dict[str, Any]:
    """Return constants as the tables of a file, each block with the rows that it rests on."""
    value = dict(zip(known.names, np.exp(logs).tolist(), strict=True))

    def of(name: str, prior: float) -> float:
        return float(f"{value.get(known.priors['shared'].get(name, name), prior):.3g}")

    def source(samples: Iterable[Sample]) -> str:
        rows = list(samples)
        return f"{len(rows)} rows of {len({s.row.source for s in rows})} sources"

    units = {
        unit: {
            "half_channels": of(f"{unit}.half_channels", block["half_channels"]),
            "classes": {
                kind: of(f"{unit}.classes.{kind}", ratio)
                for kind, ratio in block["classes"].items()
            },
        }
        for unit, block in known.priors["units"].items()
    }
    generations = {}
    for name, block in known.priors["generations"].items():
        own = [s for s in found if s.case.device in block["devices"]]
        generations[name] = {
            "devices": block["devices"],
            "peak_frac": {
                dtype: of(f"{name}.peak_frac.{dtype}", frac)
                for dtype, frac in block["peak_frac"].items()
            },
            "memory_frac": of(f"{name}.memory_frac", block["memory_frac"]),
            "kernel_us": float(f"{of(f'{name}.kernel_us', block['kernel_us'] * US) / US:.3g}"),
            "source": source(own),
        }
    stacks = {
        name: {
            "products": of(f"{name}.products", 1.0),
            "memory": of(f"{name}.memory", 1.0),
            "source": source(s for s in found if s.case.stack == name),
        }
        for name in sorted({s.case.stack for s in found})
    }
    return {"units": units, "generations": generations, "stacks": stacks}


def written(table: Mapping[str, Any]) -> str:
    """Return the text of ``efficiency.toml``."""
    lines = ["# Written by `python -m planner.published.fit`; see priors.toml beside that module."]

    def put(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{ " + ", ".join(f"{key} = {put(v)}" for key, v in value.items()) + " }"
        return f"{value:g}" if isinstance(value, float) else json.dumps(value)

    for kind, blocks in table.items():
        for name, block in blocks.items():
            lines += ["", f"[{kind}.{name}]"]
            lines += [f"{key} = {put(value)}" for key, value in block.items()]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Fit to a table of published rows and write the constants."""
    if len(arguments) != 1:
        raise SystemExit("expected the path of a table of published rows")
    priors = tomllib.loads(PRIORS.read_text(encoding="utf-8"))
    table = fit(samples(read_rows(Path(arguments[0]))), priors)
    TARGET.write_text(written(table), encoding="utf-8")


def _ops(case: Case) -> list[OpCall]:
    """Return the ops of one step on one worker, in no order."""
    model = load_model(case.model)
    step = StepCalls.of(model, case.training, case.plan)
    calls = [call for layer in step.layers for call in layer.fired] + [step.loss]
    if not case.passes_only:
        calls += [step.load, step.update(model.parameter_count)]
    return calls


if __name__ == "__main__":
    main(sys.argv[1:])
