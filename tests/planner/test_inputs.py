"""The input pipeline: credits, order, the steady state, its closed form, and the advice."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwprofiles.device import OpCurve
from hwprofiles.errors import PlanError
from planner.advise import advised
from planner.cost import estimate
from planner.input_forecast import STAGES, advice, loads_of
from planner.lower import lower
from planner.model import load_model
from planner.plan import Source
from planner.predict import predict
from planner.program import StageTask
from planner.steady import ONE_STEP, settled, span_of, window_of
from sim.checks import check_graph
from sim.engine import simulate
from tests.planner_cases import (
    Case,
    case,
    chain_models,
    machines,
    plans,
    small_machine,
    without_dependency,
)

RANDOM = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@st.composite
def fed_cases(draw):
    """Plans with a pipeline, on machines where any stage may be the slowest."""
    model, machine = draw(chain_models()), draw(machines())
    training, plan = draw(plans(model, machine.devices, rounds=(1, 2, 3)))
    workers = draw(st.integers(1, 3))
    plan = replace(
        plan,
        decode_workers=workers,
        prefetch=draw(st.integers(1, 2)),
        decode_cores=draw(st.integers(0, workers * plan.workers)),
    )
    source = Source(throttle_bytes_per_s=draw(st.sampled_from([0.0, 1e5, 1e6, 1e7])))
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


def steady_ps(c: Case, times: int = 1) -> int:
    """Period, measured over a window ``times`` as long as it is by default."""

    def run(steps: int):
        program = lower(c.model, c.training, c.plan, c.cluster, c.books, steps)
        check_graph(program.graph)
        return program, simulate(program.graph)

    window = window_of(c.plan, c.training)
    *_, span = settled(run, replace(window, steps=times * window.steps))
    return span.period_ps


def loads(c: Case):
    step = estimate(c.model, c.training, c.plan, c.cluster, c.books)
    return loads_of(c.model, c.training, c.plan, c.cluster, c.books, step)


def fed(**fields) -> Case:
    """Return one worker that is fed by one decode worker with a core of its own."""
    known = {"workers": 1, "decode_workers": 1, "decode_cores": 1, "batch": 2}
    return case(**(known | fields))


@pytest.mark.slow
@given(c=fed_cases())
@settings(max_examples=8, **RANDOM)
def test_a_run_takes_no_less_than_the_load_of_any_stage(c):
    """Of the whole run always; of the steady part, unless decoding shares the lane of compute."""
    window = window_of(c.plan, c.training)
    program = lower(c.model, c.training, c.plan, c.cluster, c.books, window.lowered)
    check_graph(program.graph)
    timeline, least_ps = simulate(program.graph), loads(c).period_ps
    assert timeline.makespan_ps >= window.lowered * least_ps
    if c.plan.decode_cores == c.plan.workers * c.plan.decode_workers:
        assert span_of(program, timeline, window).period_ps >= least_ps


@pytest.mark.slow
@given(c=fed_cases())
@settings(max_examples=3, **RANDOM)
def test_a_longer_window_finds_the_same_period(c):
    assert steady_ps(c, times=2) == pytest.approx(steady_ps(c), rel=0.02)


def test_long_and_short_steps_in_turn_are_counted_as_whole_turns():
    """Three decode workers on the core of compute make one long step, then one short, forever."""
    c = slowed(fed(decode_workers=3, decode_cores=0, prefetch=2), "decode", 1e6)
    assert steady_ps(c) == steady_ps(c, times=3)
    window = window_of(c.plan, c.training)
    program = lower(c.model, c.training, c.plan, c.cluster, c.books, window.lowered)
    span = span_of(program, simulate(program.graph), window)
    assert (window.steps, span.steps, span.recurs) == (15, 14, True)


@given(c=fed_cases(), steps=st.integers(2, 3))
@settings(max_examples=8, **RANDOM)
def test_steps_of_one_graph_share_the_arena_without_harm(c, steps):
    lower(c.model, c.training, c.plan, c.cluster, c.books, steps).check_sharing()


def two_fed_steps_beside_copies():
    """Two steps of three microbatches; an engine of its own copies for the second one early."""
    c = fed(workers=2, batch=12, machine=small_machine(2, holds=False), input_slots=2)
    c = replace(c, plan=replace(c.plan, overlap=True, bucket_bytes=200))
    return lower(c.model, c.training, c.plan, c.cluster, c.books, 2)


def test_passes_that_do_not_wait_for_the_step_before_are_named():
    program = two_fed_steps_beside_copies()
    program.check_sharing()
    (end, _), graph = program.ends, program.graph
    infos = enumerate(program.tasks)
    first = next(t for t, i in infos if t >= end and i.phase == "forward" and i.rank == 0)
    for late in (t for t in graph.row("dep", first) if t < end):
        graph = without_dependency(graph, first, late)
    assert len(graph.row("dep", first)) == 1, "it still waits for its input"
    with pytest.raises(PlanError, match=r"share bytes, but \S+@0 may write the second while"):
        replace(program, graph=graph).check_sharing()


def test_copies_take_the_slots_in_turn_over_the_end_of_a_step():
    program = two_fed_steps_beside_copies()
    graph = program.graph
    x = program.register_names.index("x@0")
    assert program.item_slots()[graph.out_idx == x].tolist() == [0, 1, 0, 1, 0, 1]
    timeline = simulate(graph)
    copies = [t for t, i in enumerate(program.tasks) if i.phase == "load" and i.rank == 0]
    ahead = [t for t in copies if t >= program.ends[0]]
    assert min(timeline.start_ps[ahead]) < max(timeline.end_ps[: program.ends[0]])


def test_without_slots_to_run_ahead_the_stages_follow_one_another():
    """The oracle of the period fails where credits are too few: one slot couples two stages."""
    c = slowed(fed(prefetch=1), "decode", 1e5)
    coupled, free = steady_ps(c), steady_ps(replace(c, plan=replace(c.plan, prefetch=2)))
    found = loads(c)
    assert free == found.decode_ps == found.period_ps
    assert coupled == found.decode_ps + max(found.read_ps, found.copy_ps)


@pytest.mark.parametrize("stage", STAGES)
def test_the_period_is_the_work_of_the_bottleneck(stage):
    """Exact with one worker, one microbatch a step and two slots, whichever stage is slowest."""
    c = fed(machine=small_machine(1, holds=stage != "copy"), input_slots=2)
    if stage == "read":
        source = Source(throttle_bytes_per_s=1e4)
        c = replace(c, training=replace(c.training, source=source))
    elif stage != "compute":
        c = slowed(c, {"decode": "decode", "copy": "input_copy"}[stage], 1e4)
    prediction, _, _ = predict(c.model, c.training, c.plan, c.machine)
    assert prediction.input.bottleneck == stage
    assert prediction.step_s == prediction.closed_form_s
    assert prediction.step_s == prediction.input.stages_s[stage]
    assert prediction.input.busy_frac[stage] == 1


def test_decode_workers_share_the_work_over_the_end_of_a_step():
    """With one microbatch a step, two workers decode every other step's."""
    c = slowed(fed(decode_workers=2, decode_cores=2), "decode", 1e5)
    one = replace(c, plan=replace(c.plan, decode_workers=1, decode_cores=1))
    assert 2 * steady_ps(c) == pytest.approx(steady_ps(one), rel=1e-6)


def test_a_decode_worker_without_a_core_holds_that_of_its_worker():
    c = slowed(fed(decode_cores=0), "decode", 1e6)
    found = loads(c)
    own = replace(c, plan=replace(c.plan, decode_cores=1))
    assert found.compute_ps == loads(own).compute_ps + found.decode_ps
    assert steady_ps(c) >= found.compute_ps > steady_ps(own)


def test_workers_of_a_host_share_its_disk():
    c = fed(workers=2, decode_cores=2, batch=4)
    source = Source(throttle_bytes_per_s=1e4)
    c = replace(c, training=replace(c.training, source=source))
    assert (
        steady_ps(c)
        == 2
        * loads(
            replace(
                c,
                plan=replace(c.plan, workers=1, placement=(0,)),
                training=replace(c.training, batch=2),
            )
        ).read_ps
    )


def test_steps_without_a_pipeline_follow_one_another():
    c = case(workers=3, batch=12, overlap=True)
    one, four = (lower(c.model, c.training, c.plan, c.cluster, c.books, n) for n in (1, 4))
    assert window_of(c.plan, c.training) == ONE_STEP
    assert simulate(four.graph).makespan_ps == 4 * simulate(one.graph).makespan_ps
    assert len(four.tasks) == 4 * len(one.tasks) == four.ends[-1]


def test_microbatches_are_dealt_in_turn():
    c = fed(decode_workers=2, batch=6)
    program = lower(c.model, c.training, c.plan, c.cluster, c.books, 2)
    decodes = [t for t in program.arrivals(0) if isinstance(program.tasks[t], StageTask)]
    lanes = [program.graph.row("lane", t) for t in decodes]
    assert len(decodes) == 6
    assert lanes[0] == lanes[2] == lanes[4] != lanes[1] == lanes[3] == lanes[5]


@pytest.mark.parametrize("slow", ["decode", "read"])
def test_the_advice_holds_when_it_is_applied(slow):
    model = load_model("mlp")
    c = fed(model=model, batch=64, microbatch=32)
    if slow == "read":
        source = Source(throttle_bytes_per_s=1e6)
        c = replace(c, training=replace(c.training, source=source))
    else:
        c = slowed(c, "decode", 4e6)
    before, _, _ = predict(model, c.training, c.plan, c.machine)
    assert before.input.bottleneck == slow
    training, plan = advised(model, c.training, c.plan, c.machine, cores=64)
    after, _, _ = predict(model, training, plan, c.machine)
    assert after.input.bottleneck == "compute"
    assert after.step_s <= 1.01 * after.input.stages_s["compute"] < before.step_s
    text = advice(before.input, c.plan, 64)
    assert text.startswith(f"{before.input.needed_workers} decode worker")
    assert text.endswith(
        f"{slow} is the bottleneck ({before.input.stages_s[slow] * 1e3:.3g} ms a step)"
    )


def test_the_advice_says_when_there_are_too_few_cores():
    c = slowed(fed(model=load_model("mlp"), batch=64, microbatch=32), "decode", 4e6)
    found = predict(c.model, c.training, c.plan, c.machine)[0].input
    assert f"these need {found.needed_workers + 1} cores, 2 are there" in advice(found, c.plan, 2)
