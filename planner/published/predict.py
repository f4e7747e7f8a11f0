"""Price a published run: the closed form that ``plan`` uses, on devices as efficient as fitted."""

from functools import lru_cache

from hwprofiles.units import PS_PER_S
from planner.calls import StepCalls
from planner.cost import estimate, pass_times
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.published.cases import Case

MODELS = 16
"""Models that are kept, for rows of one model follow each other."""


@lru_cache(maxsize=MODELS)
def model_of(name: str) -> ModelGraph:
    """Return the model of a run."""
    return load_model(name)


def predicted_s(case: Case, machine: Machine) -> float:
    """Return the time of what was timed: a step, or its forward and backward passes alone."""
    model, workers = model_of(case.model), case.plan.workers
    cluster, books = machine.cluster(workers), machine.books(workers)
    if case.passes_only:
        book = books[cluster.devices[case.plan.placement[0]].name]
        calls = StepCalls.of(model, case.training, case.plan)
        return pass_times(model, calls, book).compute_ps(1) / PS_PER_S
    return estimate(model, case.training, case.plan, cluster, books).closed_form_s
