"""The input pipeline: credits, order, the steady state, its closed form, and the advice."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwprofiles.device import OpCurve
from planner.cost import estimate
from planner.input_forecast import loads_of
from planner.lower import lower
from planner.plan import Source
from planner.steady import period_ps, window_of
from sim.checks import check_graph
from sim.engine import simulate
from tests.planner_cases import Case, chain_models, machines, plans

RANDOM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def fed_cases(draw):
    """Plans with a pipeline, on machines where any stage may be the slowest."""
    model, machine = draw(chain_models()), draw(machines())
    training, plan = draw(plans(model, machine.devices, rounds=(1, 2, 3)))
    workers = draw(st.integers(1, 3))
    plan = replace(
        plan,
        decode_workers=workers,
        prefetch=draw(st.integers(1, 3)),
        decode_cores=draw(st.integers(0, workers * plan.workers)),
    )
    limit = draw(st.sampled_from([0.0, 1e5, 1e6, 1e7]))
    source = Source(throttle_bytes_per_s=limit)
    c = Case(model=model, training=replace(training, source=source), plan=plan, machine=machine)
    return slowed(c, draw(st.sampled_from(["decode", "input_copy", "tanh_forward", "none"])))


def slowed(c: Case, op_class: str, bytes_per_s: float = 1e7) -> Case:
    """Return the case on devices that are slow at one class of ops."""
    curve = {f"{op_class}/float32": OpCurve(flop_per_s=1e9, bytes_per_s=bytes_per_s)}
    books = {
        name: replace(book, device=replace(book.device, curves={**book.device.curves, **curve}))
        for name, book in c.machine.books(0).items()
    }
    return replace(c, machine=replace(c.machine, cost_books={0: books}))


def steady(c: Case):
    window = window_of(c.plan, c.training)
    program = lower(c.model, c.training, c.plan, c.cluster, c.books, window.lowered)
    check_graph(program.graph)
    timeline = simulate(program.graph)
    return program, timeline, window


def loads(c: Case):
    step = estimate(c.model, c.training, c.plan, c.cluster, c.books)
    return loads_of(c.model, c.training, c.plan, c.cluster, c.books, step)


@given(c=fed_cases())
@RANDOM
def test_the_period_is_never_below_the_load_of_any_stage(c):
    program, timeline, window = steady(c)
    found = loads(c)
    assert period_ps(program, timeline, window) >= found.period_ps
    assert timeline.makespan_ps >= window.lowered * found.period_ps


@given(c=fed_cases())
@RANDOM
def test_a_later_window_has_the_same_period(c):
    program, timeline, window = steady(c)
    twice = replace(window, steps=2 * window.steps)
    longer = lower(c.model, c.training, c.plan, c.cluster, c.books, twice.lowered)
    found = period_ps(longer, simulate(longer.graph), twice)
    assert found == pytest.approx(period_ps(program, timeline, window), rel=0.02)
