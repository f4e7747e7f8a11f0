"""Price a published run: passes as ``plan`` prices them, and what the exchange adds to them.

A step takes the largest of its bounds, those of :func:`planner.cost.compose`: all its work, or the
passes until a bucket of gradients is ready, the exchanges of that and of all later buckets one
after the other, and the last update.
"""

from functools import lru_cache
from math import log2

from hwprofiles.clusters import split_spec
from hwprofiles.units import PS_PER_S
from planner.calls import StepCalls
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.piece_prices import UpdateTimes, pass_times
from planner.published.cases import Case
from planner.published.exchange import SLOWER, library_exchange
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
    model, training, plan = model_of(case.model), case.training, case.plan
    calls = StepCalls.of(model, training, plan)
    book = machine.books(plan.workers)[
        machine.cluster(plan.workers).devices[plan.placement[0]].name
    ]
    passes = pass_times(model, calls, book)
    rounds = plan.microbatches(training.batch)
    if case.passes_only:
        return [(passes.compute_ps(rounds) / PS_PER_S, 0.0)]
    load_ps, cut = rounds * passes.load_ps, plan_buckets(model, training, plan)
    own_ps = load_ps + passes.compute_ps(rounds)
    exchange = library_exchange(case, cut, UpdateTimes(calls, [book]))
    if plan.workers == 1:
        return [(own_ps / PS_PER_S, exchange.updates_ps / PS_PER_S)]
    ready = [own_ps] * len(cut)
    if plan.overlap:
        ready = [load_ps + passes.ready_ps(bucket, rounds) for bucket in cut]
    longer = (1 + SLOWER * log2(plan.workers) / rounds) / PS_PER_S  # they wait once a step
    return [
        (longer * own_ps, exchange.updates_ps / PS_PER_S),
        *(
            (longer * before_ps, rest_ps / PS_PER_S)
            for before_ps, rest_ps in zip(ready, exchange.rest_ps, strict=True)
        ),
        *([(0.0, _decoded_s(case))] if case.images_per_node_s and not model.reads_tokens else []),
    ]


def _decoded_s(case: Case) -> float:
    """Return how long a host decodes the images of a step: the load of a stage over its servers."""
    assert case.images_per_node_s
    told = split_spec(case.system)[1]
    nodes = int(told) if told and told.isdigit() else 1
    return case.training.batch / nodes / case.images_per_node_s
