"""The input pipeline that a plan should have, so that compute never waits for it."""

from dataclasses import replace

from planner.input_forecast import with_input
from planner.machine import Machine
from planner.model import ModelGraph
from planner.plan import Plan, Training
from planner.predict import predict

NEAR_FRAC = 0.01
"""A period so near to that of compute alone is as good."""
MOST_PREFETCH = 16


def advised(
    model: ModelGraph, training: Training, plan: Plan, machine: Machine, cores: int
) -> tuple[Training, Plan]:
    """Return training and plan with the advice for ``plan`` applied, on ``cores`` cores of a host.

    As many decode workers as keep up, the throttle no lower than compute reads, and the fewest
    slots with which the simulated period is that of compute, or the best of those tried.
    """
    asked = with_input(plan, machine, cores, max(1, plan.decode_workers), plan.prefetch)
    found = predict(model, training, asked, machine)[0].input
    assert found is not None
    source, limit = training.source, training.source.throttle_bytes_per_s
    if limit and limit < found.needed_bytes_per_s:
        source = replace(source, throttle_bytes_per_s=float(int(found.needed_bytes_per_s) + 1))
    wider = replace(training, source=source)
    best, best_s = asked, float("inf")
    for prefetch in range(1, MOST_PREFETCH + 1):
        candidate = with_input(plan, machine, cores, found.needed_workers, prefetch)
        prediction, _, _ = predict(model, wider, candidate, machine)
        assert prediction.input is not None
        if prediction.step_s < best_s * (1 - NEAR_FRAC):
            best, best_s = candidate, prediction.step_s
        if best_s <= prediction.input.stages_s["compute"] * (1 + NEAR_FRAC):
            break
    return wider, best
