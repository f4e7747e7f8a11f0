"""Fit the efficiencies of devices and software to published runs: ``...fit TABLE.csv ...``.

A run's step is the sum of its ops, each ``max(products, memory) + kernel``, the law of
``Device.curve``, and of what its exchange adds to that in the closed form. Residuals are logarithms
of predicted over published time under a soft absolute loss; every constant is drawn to a physical
prior. A :class:`Study` holds what does not depend on the constants, so that fits to parts of its
runs take a second or two.
"""

import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from hwprofiles import efficiency
from hwprofiles.units import US, Floats, Ints
from planner.published.assess import in_scope
from planner.published.case import MANY, Case
from planner.published.cases import express
from planner.published.features import Bounds, Constants, Ops, bounds_of, ops_of
from planner.published.names import Unsaid
from planner.published.rows import Row, read_rows
from planner.published.toml_text import toml_text

PRIORS = Path(__file__).with_name("priors.toml")
TARGET = Path(efficiency.__file__).parent / "data" / efficiency.DATA
RESIDUAL = 0.1
"""Scale of a residual: 10 %."""
PULL = 1.0
"""Weight of a constant's distance from its prior, in widths."""
SHARE = 0.5
"""Exponent by which the weight of a row falls with the rows of its source."""
STATED = ("devices", "like", "sums", "measure")
"""What is said of a generation without a fit: its devices, which one it is like, and the share of
its matrix unit's rate that is left with sums in float32."""
NEAR = 1e-5
"""Relative change of cost or constants at which a fit ends."""
ROUNDS = 2
"""Bounds are taken at the priors, and renewed before every further round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A published run that constants are fitted to."""

    row: Row
    case: Case
    published_s: float


def samples(rows: Iterable[Row], most: int = MANY) -> list[Sample]:
    """Return the runs in scope that can be expressed, unflagged, of at most ``most`` workers."""
    found = []
    for row in rows:
        if not in_scope(row.told["model"]):
            continue
        try:
            case = express(row.told)
        except Unsaid:
            continue
        step_s = row.step_s(case.training.batch)
        if step_s and not row.flagged and case.plan.workers <= most and not case.stages:
            found.append(Sample(row=row, case=case, published_s=step_s))
    return sorted(found, key=lambda sample: sample.case.model)  # each model is built once


@dataclass(slots=True, kw_only=True)
class Study:
    """Runs to fit constants to, and what their times are made of."""

    found: Sequence[Sample]
    known: Constants
    ops: Ops
    bounds: Bounds
    published_s: Floats

    @classmethod
    def of(cls, found: Sequence[Sample], priors: Mapping[str, Any]) -> "Study":
        """Take the runs apart; bounds are those at the priors."""
        known = Constants(priors=priors)
        ops = ops_of([sample.case for sample in found], known)
        empty = np.zeros(0)
        study = cls(
            found=found,
            known=known,
            ops=ops,
            bounds=Bounds(first=np.zeros(0, dtype=np.int64), share=empty, after_s=empty),
            published_s=np.array([sample.published_s for sample in found]),
        )
        study.renew(np.array(known.prior))
        return study

    def renew(self, logs: Floats) -> None:
        """Take the bounds at the constants whose logarithms are given."""
        cases = [sample.case for sample in self.found]
        self.bounds = bounds_of(cases, self.ops.alone_s(logs)[0], self.table(logs))

    def predicted_s(self, logs: Floats) -> Floats:
        """Return the time of every run, seconds, shape (R,)."""
        return self.bounds.step_s(self.ops.alone_s(logs)[0])[0]

    def fitted(self, chosen: Sequence[int] | None = None) -> Floats:
        """Return the logarithms of the constants that fit some runs best, or all."""
        kept: Ints = np.array(range(len(self.found)) if chosen is None else chosen)
        ops, bounds, told = self.ops.of_runs(kept), self.bounds.of_runs(kept), self.published_s
        prior, width = np.array(self.known.prior), np.array(self.known.width)

        weight = self.weights(kept) / RESIDUAL

        def step_s(logs: Floats) -> tuple[Floats, Floats]:
            alone_s, by_constant = ops.alone_s(logs)
            found_s, by_alone = bounds.step_s(alone_s)
            return found_s, by_constant * (by_alone / found_s)[:, None]

        last: dict[bytes, tuple[Floats, Floats]] = {}

        def at(logs: Floats) -> tuple[Floats, Floats]:
            """Return times and derivatives of their logarithms; residuals and slopes share them."""
            key = logs.tobytes()
            if key not in last:
                last.clear()
                last[key] = step_s(logs)
            return last[key]

        def residuals(logs: Floats) -> Floats:
            error = np.log(at(logs)[0] / told[kept])
            return np.concatenate([error * weight, PULL * (logs - prior) / width])

        def slopes(logs: Floats) -> Floats:
            return np.concatenate([at(logs)[1] * weight[:, None], np.diag(PULL / width)])

        found: Floats = least_squares(
            residuals, prior, jac=slopes, loss="soft_l1", ftol=1e-5, xtol=1e-5
        ).x
        return found

    def weights(self, chosen: Sequence[int] | Ints) -> Floats:
        """Return the weight of each residual, mean 1: that of a source grows with its root.

        Rows of one table share software and machine, so that many of them say less than as many of
        several tables.
        """
        sources = [self.found[i].row.source for i in chosen]
        rows = Counter(sources)
        weight = np.array([rows[source] ** -SHARE for source in sources])
        found: Floats = weight / weight.mean()
        return found

    def table(self, logs: Floats, chosen: Sequence[int] | None = None) -> dict[str, Any]:
        """Return constants fitted to some runs, or all, as the content of ``efficiency.toml``."""
        kept = range(len(self.found)) if chosen is None else chosen
        stacks = sorted({sample.case.stack for sample in self.found})
        return content(logs, self.known, [self.found[i] for i in kept], stacks)


def fit(found: Sequence[Sample], priors: Mapping[str, Any]) -> dict[str, Any]:
    """Fit all constants; return the content of ``efficiency.toml``."""
    study = Study.of(found, priors)
    logs = study.fitted()
    for _ in range(1, ROUNDS):
        study.renew(logs)
        logs = study.fitted()
    return study.table(logs)


def content(
    logs: Floats, known: Constants, found: Sequence[Sample], stacks: Iterable[str]
) -> dict[str, Any]:
    """Return constants as the tables of a file, each block with the rows that it rests on."""
    value = dict(zip(known.names, np.exp(logs).tolist(), strict=True))

    def of(name: str, prior: float) -> float:
        return float(f"{value.get(known.priors['shared'].get(name, name), prior):.3g}")

    def source(samples: Iterable[Sample]) -> str:
        rows = list(samples)
        return f"{len(rows)} rows of {len({s.row.source for s in rows})} sources"

    units = {
        unit: {
            **({"narrow": of(f"{unit}.narrow", block["narrow"])} if "narrow" in block else {}),
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
        generations[name] = {key: block[key] for key in STATED if key in block}
        if "memory_frac" in block:
            generations[name] |= {
                "peak_frac": {
                    dtype: of(f"{name}.peak_frac.{dtype}", frac)
                    for dtype, frac in block["peak_frac"].items()
                },
                "memory_frac": of(f"{name}.memory_frac", block["memory_frac"]),
                "kernel_us": float(f"{of(f'{name}.kernel_us', block['kernel_us'] * US) / US:.3g}"),
            }
        generations[name]["source"] = source(own)
    software = {
        name: {
            "products": of(f"{name}.products", 1.0),
            "memory": of(f"{name}.memory", 1.0),
            "launch": of(f"{name}.launch", 1.0),
            "fused": name in known.priors["fused"],
            "source": source(s for s in found if s.case.stack == name),
        }
        for name in stacks
    }
    return {"units": units, "generations": generations, "stacks": software}


def written(table: Mapping[str, Any]) -> str:
    """Return the text of ``efficiency.toml``."""
    head = "Written by `python -m planner.published.fit`; see priors.toml beside that module."
    return toml_text([head], table)


def main(arguments: Sequence[str]) -> None:
    """Fit to tables of published rows and write the constants."""
    if not arguments:
        raise SystemExit("expected the paths of tables of published rows")
    priors = tomllib.loads(PRIORS.read_text(encoding="utf-8"))
    rows = [row for name in arguments for row in read_rows(Path(name))]
    table = fit(samples(rows), priors)
    TARGET.write_text(written(table), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
