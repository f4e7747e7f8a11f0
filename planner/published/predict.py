"""Price a published run: passes as ``plan`` prices them, and what the exchange adds to them.

A step takes the largest of its bounds: all its work, or the passes until a bucket of gradients is
ready, the exchanges of that and of all later buckets one after the other, and the last update.
"""

from functools import lru_cache
from itertools import accumulate
from math import log2

from hwprofiles.units import PS_PER_S
from planner.calls import StepCalls
from planner.cost import UpdateTimes, pass_times
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.opcall import DTYPE_BYTES
from planner.published.cases import Case
from planner.published.exchange import SLOWER, exchange_s
from planner.published.pipelined import pipelined_s
from planner.registers import plan_buckets

MODELS = 16
"""Models that are kept, for rows of one model follow each other."""


@lru_cache(maxsize=MODELS)
def model_of(name: str) -> ModelGraph:
    """Return the model of a run."""
    return load_model(name)


def predicted_s(case: Case, machine: Machine) -> float:
    """Return the time of what was timed: a step, or its forward and backward passes alone."""
    if case.stages:
        model = model_of(case.model)
        return pipelined_s(model, case.training, case.plan, case.stages, machine)
    return max(own_s + after_s for own_s, after_s in bounds(case, machine))


def bounds(case: Case, machine: Machine) -> list[tuple[float, float]]:
    """Return, for each bound of a step, what the worker does before and what follows, seconds."""
    model, workers = model_of(case.model), case.plan.workers
    calls = StepCalls.of(model, case.training, case.plan)
    book = machine.books(workers)[machine.cluster(workers).devices[case.plan.placement[0]].name]
    passes = pass_times(model, calls, book)
    rounds = case.plan.microbatches(case.training.batch)
    own_s = passes.compute_ps(rounds) / PS_PER_S
    if case.passes_only:
        return [(own_s, 0.0)]
    load_s, cut = rounds * passes.load_ps / PS_PER_S, plan_buckets(model, case.training, case.plan)
    following_ps, updates_ps = UpdateTimes(calls, [book]).of_buckets([b.elements for b in cut])
    if workers == 1:
        return [(load_s + own_s, updates_ps / PS_PER_S)]
    longer = 1 + SLOWER * log2(workers) / rounds  # they wait once a step
    sent_s = [exchange_s(case, b.elements * DTYPE_BYTES[case.training.dtype]) for b in cut]
    left_s = list(accumulate(reversed(sent_s)))[::-1]
    ready_s = [load_s + passes.ready_ps(bucket, rounds) / PS_PER_S for bucket in cut]
    return [
        (longer * (load_s + own_s), updates_ps / PS_PER_S),
        *(
            (longer * r, left + following_ps[-1] / PS_PER_S)
            for r, left in zip(ready_s, left_s, strict=True)
        ),
    ]
