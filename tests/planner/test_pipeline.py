"""Pipelines: the closed form under the simulation, the best cut, what crosses, what is held."""

from dataclasses import replace
from itertools import combinations
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import NothingFits, PlanError
from planner.model import load_model
from planner.pipeline import PipelinePlan, closed_bounds_ps, schedule, schedule_names
from planner.pipeline_forecast import predict_pipeline
from planner.pipeline_graph import pipeline_program
from planner.pipeline_memory import stage_registers
from planner.pipeline_search import Asked, best_pipeline
from planner.plan import Training
from planner.registers import Register
from planner.schedules import one_f_one_b
from planner.stage_times import RECOMPUTE, StageTimes
from planner.stages import NEAR, Crossing, balanced, crossings, cut_elements, stage_of, ties
from sim.checks import check_graph, peak_live_bytes, static_bytes
from sim.engine import simulate
from tests.planner_cases import cluster_of, device, link, machine_of, machines, models

SCHEDULES = schedule_names()


@st.composite
def balances(draw, model, most=4):
    layers = len(model.layers)
    cuts = draw(st.sets(st.integers(1, max(1, layers - 1)), max_size=min(most, layers) - 1))
    return tuple(np.diff([0, *sorted(cuts), layers]).tolist())


@st.composite
def pipelines(draw):
    model, machine = draw(models()), draw(machines())
    balance = draw(balances(model, machine.devices))
    plan = PipelinePlan(
        balance=balance,
        microbatch=draw(st.integers(1, 2)),
        placement=tuple(draw(st.permutations(range(machine.devices)))[: len(balance)]),
        schedule=draw(st.sampled_from(SCHEDULES)),
        recompute=draw(st.sampled_from(RECOMPUTE)),
    )
    return model, Training(batch=plan.microbatch * draw(st.integers(1, 6))), plan, machine


@given(pipelines())
@settings(max_examples=40, deadline=None)
def test_no_step_is_shorter_than_its_closed_form_and_memory_holds_what_lives(case):
    model, training, plan, _ = case
    told, program, timeline = predict_pipeline(*case)
    assert told.step_s >= told.closed_form_s == max(told.bounds_s.values())
    static, live = static_bytes(program.graph), peak_live_bytes(program.graph, timeline)
    for facts in told.stages:
        assert facts.total_bytes == static[facts.device] >= live[facts.device]
    assert sum(facts.layers for facts in told.stages) == len(model.layers)
    sent = sum(
        c.elements * (1 + c.returns) * training.batch for c in crossings(model, plan.balance)
    )
    tied = sum(2 * tie.elements for tie in ties(model, plan.balance))
    assert sum(facts.sent_bytes for facts in told.stages) == 4 * (sent + tied)


def equal_stages(name, stages, microbatches, recompute="never", **times):
    """Simulate equal stages that send nothing; return the step and its closed form."""
    told = StageTimes(
        microbatches=microbatches,
        recompute=recompute,
        load_ps=0,
        forward_ps=(1_000,) * stages,
        backward_ps=(2_300,) * stages,
        add_ps=(0,) * stages,
        update_ps=(0,) * stages,
        sent_ps={(at, at + 1): 0 for at in range(stages - 1)},
        returned_ps={(at, at + 1): 0 for at in range(stages - 1)},
    )
    told = replace(told, **times)
    plan = PipelinePlan(
        balance=(1,) * stages, microbatch=1, placement=tuple(range(stages)), schedule=name,
        recompute=recompute,
    )  # fmt: skip
    crossing = tuple(
        Crossing(layer=at, source=at, target=at + 1, elements=0, returns=True)
        for at in range(stages - 1)
    )
    plenty = ["x", "frame", "kept"]
    ways = ("sent", "value", "returned", "gradient")
    plenty += [f"{way}.{at}" for way in ways for at in range(stages)]
    register = {key: Register(name=key, category="", slots=99, slot_bytes=0) for key in plenty}
    free = machine_of(cluster_of(device(holds=False), stages, "mesh", link(1e9, 0.0)))
    program = pipeline_program(
        Training(batch=microbatches), plan, told, crossing, (), [register] * stages,
        free.cluster(stages),
    )  # fmt: skip
    check_graph(program.graph, label=program.label)
    return simulate(program.graph).makespan_ps, max(closed_bounds_ps(told, name).values())


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("stages", "microbatches"), [(2, 1), (3, 3), (4, 8), (5, 2)])
def test_equal_stages_that_send_nothing_fill_and_drain(name, stages, microbatches):
    filled = (microbatches + stages - 1) * 3_300
    assert equal_stages(name, stages, microbatches) == (filled, filled)


def test_a_schedule_that_runs_no_stage_ahead_is_seen_to_be_longer(monkeypatch):
    monkeypatch.setattr(one_f_one_b, "in_flight", lambda stage, stages, microbatches: 1)
    step_ps, _ = equal_stages("one_f_one_b", 4, 8)
    assert step_ps == 8 * 4 * 3_300


@pytest.mark.parametrize("recompute", RECOMPUTE)
def test_passes_that_are_run_again_are_hidden_while_gradients_are_awaited(recompute):
    """Only the last stage, which waits for none, shows the first of them."""
    again = {"always": 8, "except-last": 7, "never": 0}[recompute] * 1_000
    filled = (8 + 4 - 1) * 3_300
    assert equal_stages("gpipe", 4, 8, recompute) == (filled + again, filled + again)


@pytest.mark.parametrize("slow", [0, 1, 3])
def test_the_slowest_stage_sets_the_pace(slow):
    longer = tuple(1_500 if at == slow else 1_000 for at in range(4))
    step_ps, closed_ps = equal_stages("gpipe", 4, 8, forward_ps=longer)
    assert step_ps == closed_ps == sum(longer) + 7 * 1_500 + 11 * 2_300


def longest(layer_ps, cut_ps, balance):
    ends = np.cumsum(balance)
    stages = [int(part.sum()) for part in np.split(layer_ps, ends[:-1])]
    return max((*stages, *(int(cut_ps[end]) for end in ends[:-1])))


@given(
    layers=st.lists(st.integers(0, 1_000), min_size=2, max_size=8),
    cuts=st.lists(st.integers(0, 900), min_size=9, max_size=9),
    stages=st.integers(1, 4),
)
@settings(max_examples=80, deadline=None)
def test_no_cut_has_a_shorter_longest_stage_or_sends_less(layers, cuts, stages):
    stages = min(stages, len(layers))
    layer_ps = 1 + np.array(layers, dtype=np.int64)
    cut_ps = np.array(cuts, dtype=np.int64)[: len(layers) + 1]
    found = balanced(layer_ps, cut_ps, stages)
    every = [
        tuple(np.diff([0, *places, len(layers)]).tolist())
        for places in combinations(range(1, len(layers)), stages - 1)
    ]
    assert found in every
    limit = int(NEAR * min(longest(layer_ps, cut_ps, balance) for balance in every))
    good = [b for b in every if longest(layer_ps, cut_ps, b) <= limit]
    assert found in good
    sent = {b: int(cut_ps[np.cumsum(b)[:-1]].sum()) for b in good}
    assert sent[found] == min(sent.values())


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_what_crosses_is_what_later_stages_read(data):
    model = data.draw(models())
    balance = data.draw(balances(model))
    stages = stage_of(balance)
    read = {
        (producer, stages[reader])
        for reader, producers in enumerate(model.producers)
        for producer in producers
        if producer >= 0
    } | {(head, len(balance) - 1) for head in model.heads}
    found = crossings(model, balance)
    pairs = {(p, target) for p, target in read if stages[p] != target}
    assert {(c.layer, c.target) for c in found} == pairs
    assert len(found) == len(pairs)
    open_at = cut_elements(model)
    for end in np.cumsum(balance)[:-1].tolist():
        over = {p for p, target in pairs if p < end <= sum(balance[:target])}
        passed = sum(prod(model.layers[p].out_shape) for p in over)
        assert passed <= open_at[end]  # readers of the same stage may come before the cut


def test_skips_of_a_u_net_go_straight_to_the_stage_that_reads_them():
    found = crossings(load_model("u-net-5-64"), (84, 84, 69))
    assert {(c.source, c.target) for c in found} == {(0, 1), (0, 2), (1, 2)}
    assert sum(c.target - c.source == 2 for c in found) == 3


def held(schedule_name, recompute, microbatches=8):
    model = load_model("lenet-5")
    plan = PipelinePlan(
        balance=(3, 3, 6), microbatch=4, placement=(0, 1, 2), schedule=schedule_name,
        recompute=recompute,
    )  # fmt: skip
    training = Training(batch=4 * microbatches)
    registers = stage_registers(model, training, plan, crossings(model, plan.balance))
    return [sum(register.arena_bytes for register in of.values()) for of in registers]


def test_one_forward_one_backward_holds_less_and_never_more_microbatches_than_stages():
    assert held("one_f_one_b", "never")[0] < held("gpipe", "never")[0]
    assert held("one_f_one_b", "never", 64) == held("one_f_one_b", "never", 8)
    assert held("gpipe", "always")[0] < held("gpipe", "never")[0]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("stages", "microbatches"), [(1, 3), (3, 2), (4, 9)])
def test_each_microbatch_goes_forward_and_then_backward_once_on_every_stage(
    name, stages, microbatches
):
    for stage in range(stages):
        turns = schedule(name).order(stage, stages, microbatches)
        assert len(turns) == 2 * microbatches == len(set(turns))
        open_now = most = 0
        for phase, number in turns:
            open_now += 1 if phase == "forward" else -1
            most = max(most, open_now)
            assert (
                phase == "forward" or ("forward", number) in turns[: turns.index((phase, number))]
            )
        assert most == schedule(name).in_flight(stage, stages, microbatches)


def test_the_search_finds_what_trying_all_finds():
    machine = machine_of(
        cluster_of(device(holds=False, launch_s=2e-5), 3, "switch", link(1e9, 1e-5))
    )
    model, training = load_model("lenet-5"), Training(batch=10)
    found = best_pipeline(model, training, machine, Asked(stages=3))
    assert found.simulated < found.candidates
    one = [
        best_pipeline(
            model, training, machine,
            Asked(stages=3, schedule=name, recompute=again, microbatches=rounds),
        ).prediction.step_s
        for name in SCHEDULES
        for again in RECOMPUTE
        for rounds in (1, 2, 5, 10)
    ]  # fmt: skip
    assert found.prediction.step_s == min(one)


def test_what_does_not_fit_or_cannot_be_is_refused_in_a_sentence():
    small = replace(device(holds=False), memory_bytes=100_000)
    machine = machine_of(cluster_of(small, 2, "mesh", link(1e9, 0.0)))
    model = load_model("lenet-5")
    with pytest.raises(NothingFits, match="no pipeline of 2 stages fits: the nearest one needs"):
        best_pipeline(model, Training(batch=64), machine, Asked())
    for asked, said in [
        (Asked(stages=3), "expected a device of its own for each, got 2"),
        (Asked(balance=(3, 4)), "add up to the 12 of 'lenet-5', got 7"),
        (Asked(stages=2, balance=(12,)), "one a stage, got 1"),
        (Asked(microbatches=7), "expected 7 microbatches"),
        (Asked(schedule="zero"), "schedule 'zero': unknown"),
        (Asked(recompute="maybe"), "recompute 'maybe': unknown"),
    ]:
        with pytest.raises(PlanError, match=said):
            best_pipeline(model, Training(batch=64), machine, asked)
