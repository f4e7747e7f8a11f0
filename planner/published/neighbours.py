"""Leave each generation of devices out, and predict it by the generation that it is like.

What is known of a generation without rows is what these runs say: its block loses all constants, so
that it is predicted as ``hwprofiles.efficiency`` predicts a generation that nobody fitted, from
constants that none of its rows had a part in.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from hwprofiles.units import Floats
from planner.published.features import generation_of, ops_of
from planner.published.fit import STATED, Study
from planner.published.spread import TO_80, deviation_of
from planner.published.summary import figures

if TYPE_CHECKING:
    from planner.published.leave_out import LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLeftOut:
    """How far a generation is off that is predicted by another; fractions of 1."""

    generation: str
    like: str
    """The generation whose constants it takes."""
    rows: int
    fitted_median: float
    """By constants fitted to all rows."""
    median: float
    mean: float
    p90: float
    bias: float
    """Median of the errors with their sign."""
    held_frac: float
    """Share of its rows in the 80 % interval that the other generations set."""


def generations_of(study: Study) -> list[str]:
    """Return the generation of every run."""
    priors = study.known.priors
    return [generation_of(sample.case.device, priors) for sample in study.found]


def without_generation(study: Study, few: Sequence[int], generation: str) -> dict[int, float]:
    """Return the time of its runs, by place, from constants fitted to those of other generations.

    ``few`` are the runs that constants are fitted to.
    """
    of = generations_of(study)
    own = [i for i, name in enumerate(of) if name == generation]
    logs = study.fitted([i for i in few if of[i] != generation])
    priors = study.known.priors
    blocks: Mapping[str, Mapping[str, object]] = priors["generations"]
    bare = {key: blocks[generation][key] for key in STATED if key in blocks[generation]}
    known = replace(study.known, priors={**priors, "generations": {**blocks, generation: bare}})
    ops = ops_of([study.found[i].case for i in own], known)
    alone_s: Floats = ops.alone_s(logs)[0]
    step_s = study.bounds.of_runs(np.array(own)).step_s(alone_s)[0]
    return dict(zip(own, step_s.tolist(), strict=True))


def apart_logs(rows: Iterable["LeftOut"]) -> dict[str, list[float]]:
    """Return, by generation, the logarithms of published over predicted time without its rows."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[row.generation].append(row.apart_log)
    return found


def generations_left_out(
    rows: Iterable["LeftOut"], like: Mapping[str, str]
) -> tuple[GenerationLeftOut, ...]:
    """Return how far each generation is off; ``like`` says which one each is predicted by."""
    every = list(rows)
    logs = apart_logs(every)
    found = []
    for name, own in logs.items():
        others = [of for other, of in logs.items() if other != name] or [own]
        reach = TO_80 * deviation_of(others)
        errors = [r.apart_s / r.published_s - 1 for r in every if r.generation == name]
        middle, mean, p90 = figures(errors)
        found.append(
            GenerationLeftOut(
                generation=name,
                like=like[name],
                rows=len(own),
                fitted_median=median(abs(r.fitted_error) for r in every if r.generation == name),
                median=middle,
                mean=mean,
                p90=p90,
                bias=median(errors),
                held_frac=fmean(abs(x) <= reach for x in own),
            )
        )
    return tuple(sorted(found, key=lambda one: one.generation))


def held_frac(found: Sequence[GenerationLeftOut]) -> float:
    """Return the share of all rows that lie in the 80 % interval set by other generations."""
    rows = sum(one.rows for one in found)
    return sum(one.rows * one.held_frac for one in found) / rows
