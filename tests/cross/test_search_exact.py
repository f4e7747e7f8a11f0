"""The search finds what trying everything finds, and its certificate says no more than is so."""

import json
import re
from dataclasses import replace
from functools import cache, partial
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foreplan
from foreplan.machines import load_machine
from hwprofiles.errors import NothingFits, PlanError
from hwprofiles.units import PS_PER_S
from planner.agenda import Agenda
from planner.certificate import Found, SearchResult
from planner.jsonable import to_jsonable
from planner.layout import memory_bytes
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.objective import Objective
from planner.plan import Plan, Training, Verdict
from planner.predict import Simulation, predict
from planner.ranking import Ranking
from planner.registers import plan_buckets
from planner.search import machine_space, search, search_front
from planner.shapes import offered
from planner.space import SLOTS, Constraints, divisors
from tests.planner_cases import candidates, chain_models, machines, small_machine, tiny_convnet

pytestmark = pytest.mark.slow

PERCENT = 0.06
"""The statement rounds to tenths of a per cent."""


def simulated_ps(model: ModelGraph, training: Training, plan: Plan, machine: Machine) -> int:
    return predict(model, training, plan, machine)[2].makespan_ps


ONE_SLOT = {"input_slots": 1, "landing_slots": 1}
"""Fixed where every plan of a space is simulated, which would take long otherwise."""
ALL = 10**6
"""A budget that no space here needs."""


def brute_force(
    model: ModelGraph, training: Training, machine: Machine
) -> list[tuple[int, int, Plan]]:
    """Simulate every candidate that can be; (picoseconds, place in the space, plan), best first."""
    found = []
    space = machine_space(model, training, machine, Constraints(fixed=ONE_SLOT))
    for i, plan in enumerate(space.plans()):
        one = plan.overlap and len(plan_buckets(model, training, plan)) == 1  # the same program
        if training.batch % (plan.workers * plan.microbatch) == 0 and not one:
            found.append((simulated_ps(model, training, plan, machine), i, plan))
    return sorted(found, key=lambda row: row[:2])


def steps_ps(result: SearchResult) -> list[int]:
    return [round(c.prediction.step_s * PS_PER_S) for c in result.best]


def check_exact(result: SearchResult, everything: list[tuple[int, int, Plan]], top: int) -> None:
    """The kept plans have the best times there are, in order; the certificate tells the same."""
    assert steps_ps(result) == [ps for ps, _, _ in everything[:top]]
    by_plan = {plan: ps for ps, _, plan in everything}
    assert [by_plan[c.plan] for c in result.best] == steps_ps(result)
    certificate = result.certificate
    assert certificate.stopped_by == "proof"
    assert certificate.statement.startswith("none of the candidates can be faster")
    if len(everything) > 1:
        slower = everything[1][0] / everything[0][0] - 1
        assert certificate.runner_up_frac == pytest.approx(slower, rel=1e-12, abs=1e-15)


def check_sums(result: SearchResult) -> None:
    c = result.certificate
    assert c.candidates == result.table.space.rows == sum(c.by_verdict.values())
    fits = c.by_verdict["fits"]
    assert c.simulated + c.pruned_by_bound + c.pruned_by_dominance + c.not_reached == fits
    assert min(c.simulated, c.pruned_by_bound, c.pruned_by_dominance, c.not_reached) >= 0


def check_honest(result: SearchResult, everything: list[tuple[int, int, Plan]]) -> None:
    """Whatever the statement excludes is not so."""
    best_ps, statement = steps_ps(result)[0], result.certificate.statement
    truth_ps = everything[0][0]
    if "none of the candidates can be faster" in statement:
        assert truth_ps == best_ps
    else:
        promised = float(re.search(r"up to ([\d.]+) % faster", statement)[1])
        assert 100 * (1 - truth_ps / best_ps) <= promised + PERCENT
    if "the runner-up" in statement:
        assert round(best_ps * (1 + result.certificate.runner_up_frac)) == everything[1][0]


@given(
    model=chain_models(),
    machine=machines(),
    batch=st.sampled_from([4, 6, 8]),
    top=st.integers(1, 5),
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_best_first_finds_what_trying_everything_finds(model, machine, batch, top):
    training = Training(batch=batch)
    result = search(model, training, machine, top=top, budget=ALL, fixed=ONE_SLOT)
    everything = brute_force(model, training, machine)
    check_exact(result, everything, top)
    check_sums(result)
    check_honest(result, everything)


@given(
    machine=machines(),
    budget=st.integers(1, 12),
    top=st.integers(1, 5),
    batch=st.sampled_from([8, 12]),
)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_spent_budget_is_told_and_the_statement_stays_honest(machine, budget, top, batch):
    model, training = tiny_convnet(), Training(batch=batch)
    result = search(model, training, machine, top=top, budget=budget, fixed=ONE_SLOT)
    check_sums(result)
    assert result.certificate.simulated <= budget
    everything = brute_force(model, training, machine)
    if result.certificate.stopped_by == "budget":
        assert result.certificate.simulated == budget
    else:
        check_exact(result, everything, top)
    check_honest(result, everything)


@cache
def perceptron() -> tuple[ModelGraph, Training, Machine, SearchResult]:
    model, training = load_model("mlp"), Training(batch=96)
    machine = small_machine(4)
    return model, training, machine, search(model, training, machine, top=3, budget=ALL)


def test_no_pruned_row_would_have_been_kept():
    """200 rows that were pruned, by bound and as the program of another row, simulated again."""
    questions = [perceptron()]
    for model, cluster, batch in (
        (tiny_convnet(), small_machine(4, holds=True), 24),
        (load_model("lenet-5"), load_machine("v100-quad"), 16),
        (load_model("mlp"), load_machine("tpu-v3"), 32),
    ):
        training = Training(
            batch=batch, dtype="bfloat16" if cluster.name == "tpu-v3" else "float32"
        )
        found = search(model, training, cluster, top=3, budget=40)
        questions.append((model, training, cluster, found))
    rng = np.random.default_rng(0)
    for model, training, machine, result in questions:
        kth_ps = steps_ps(result)[-1]
        fits = [block.take(block.fits) for block in result.table.blocks()]
        pruned = [b.rows[~b.spare & (b.bound_ps >= kth_ps)] for b in fits]
        spare = [b.rows[b.spare] for b in fits]
        counted = result.certificate
        done = counted.simulated if counted.stopped_by == "proof" else 0
        assert sum(map(len, pruned)) >= counted.pruned_by_bound >= sum(map(len, pruned)) - done - 40
        assert sum(map(len, spare)) == counted.pruned_by_dominance
        for rows, count in ((pruned, 35), (spare, 15)):
            for row in rng.choice(np.concatenate(rows), count, replace=False).tolist():
                plan = result.table.plan(row)
                least_ps = kth_ps if rows is pruned else steps_ps(result)[0]
                assert simulated_ps(model, training, plan, machine) >= least_ps


def test_a_stop_counts_as_pruned_only_what_cannot_enter():
    model, training, machine, _ = perceptron()
    result = search(model, training, machine, top=3, budget=3)
    kth_ps = steps_ps(result)[-1]
    most = sum(int((b.fits & (b.bound_ps >= kth_ps)).sum()) for b in result.table.blocks())
    assert result.certificate.stopped_by == "budget"
    assert result.certificate.pruned_by_bound <= most


def test_the_exact_check_shows_a_lost_plan_a_wrong_order_and_a_wrong_count():
    model, training, machine = tiny_convnet(), Training(batch=8), small_machine(3)
    everything = brute_force(model, training, machine)
    result = search(model, training, machine, top=3, budget=ALL, fixed=ONE_SLOT)
    check_exact(result, everything, 3)
    lost = replace(result, best=result.best[1:])
    with pytest.raises(AssertionError):
        check_exact(lost, everything, 3)
    distinct = next(i for i, row in enumerate(everything) if row[0] > everything[0][0])
    wide = search(model, training, machine, top=distinct + 1, budget=ALL, fixed=ONE_SLOT)
    with pytest.raises(AssertionError):
        check_exact(replace(wide, best=wide.best[::-1]), everything, distinct + 1)
    miscounted = replace(result.certificate, simulated=result.certificate.simulated + 1)
    with pytest.raises(AssertionError):
        check_sums(replace(result, certificate=miscounted))


def test_a_search_that_prunes_too_early_is_shown():
    """Closed forms above the simulation lose the best plan; the exact check sees it."""
    model, training, machine = tiny_convnet(), Training(batch=8), small_machine(3)
    everything = brute_force(model, training, machine)
    other = next(plan for ps, _, plan in everything if ps > everything[0][0])
    blind = search(model, training, machine, top=1, fixed={"microbatch": other.microbatch})
    if steps_ps(blind)[0] == everything[0][0]:
        blind = search(model, training, machine, top=1, fixed={"workers": 1})
    with pytest.raises(AssertionError):
        check_exact(blind, everything, 1)


# Equal inputs, equal bytes


def plan_file_text(**options: object) -> str:
    found = foreplan.plan("lenet-5", "v100-quad", Training(batch=32), **options)
    return json.dumps(to_jsonable(found))


def test_equal_inputs_give_equal_bytes():
    assert plan_file_text(top=2) == plan_file_text(top=2)
    assert plan_file_text(top=2, budget=3) == plan_file_text(top=2, budget=3)
    assert plan_file_text(top=2) != plan_file_text(top=3)


# Interrupt


class Stopped:
    """A progress callback that a person interrupts."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, []

    def __call__(self, stage: str, done: int, most: int, best_s: float | None) -> None:
        if stage == "simulating" and done:
            self.seen.append((done, most, best_s))
        if len(self.seen) == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 2, 5])
def test_an_interrupt_keeps_the_best_so_far(after):
    model, training, machine, _ = perceptron()
    stopped = Stopped(after)
    result = search(model, training, machine, top=10, progress=stopped)
    assert result.certificate.stopped_by == "interrupt"
    assert result.certificate.simulated == len(result.best) == after
    assert steps_ps(result) == sorted(steps_ps(result))
    assert stopped.seen[-1][2] == result.best[0].prediction.step_s
    check_sums(result)


def test_an_interrupt_while_predictions_are_worked_out_keeps_them_all(monkeypatch):
    model, training, machine, _ = perceptron()
    whole, calls = Simulation.prediction, []

    def interrupted(simulated):
        calls.append(simulated)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(simulated)

    monkeypatch.setattr(Simulation, "prediction", interrupted)
    result = search(model, training, machine, top=4)
    assert result.certificate.stopped_by == "interrupt"
    assert len(result.best) == 4
    assert steps_ps(result) == sorted(steps_ps(result))


def test_progress_counts_up_and_its_best_never_rises():
    model, training, machine, result = perceptron()
    seen = Stopped(-1)
    search(model, training, machine, top=3, budget=ALL, progress=seen)
    assert len(seen.seen) == result.certificate.simulated
    tasks = [done for done, _, _ in seen.seen]
    assert tasks == sorted(set(tasks))
    best = [best_s for _, _, best_s in seen.seen]
    assert best == sorted(best, reverse=True)
    assert all(done <= most for done, most, _ in seen.seen)
    half = next(most for done, most, _ in seen.seen if done >= tasks[-1] / 2)
    assert tasks[-1] / 2 <= half <= 2 * tasks[-1], "the time left at half time is right within 2x"


def check_told(seen: list[tuple[int, int]]) -> None:
    """Check (done, told in all) from half time on, but for the end."""
    final = seen[-1][0]
    left = [(final - done, most - done) for done, most in seen[:-1] if done >= final / 2]
    assert len(left) > 2
    assert all(most <= 2 * rest and rest <= 2 * most for rest, most in left)


def test_from_half_time_on_the_work_to_come_is_told_within_twice():
    seen, machine = Stopped(-1), load_machine("v100-quad")
    search(load_model("alexnet"), Training(batch=128), machine, progress=seen)
    told = [(done, most) for done, most, _ in seen.seen]
    check_told(told)
    with pytest.raises(AssertionError):  # the oracle, shown to fail
        check_told([(done, done + 3 * (most - done)) for done, most in told])


def test_rows_come_by_what_their_kind_exceeded_its_bounds_by():
    """By bounds alone 18 plans are simulated before the best one, by what is expected 10."""
    model, training = load_model("alexnet"), Training(batch=128)
    machine = load_machine("v100-quad", "pytorch-containers")
    few, every = (search(model, training, machine, budget=n) for n in (12, ALL))
    assert every.certificate.stopped_by == "proof"
    assert steps_ps(few)[0] == steps_ps(every)[0]
    with patch.object(Agenda, "note", lambda *told: None):
        by_bound = search(model, training, machine, budget=12)
    assert steps_ps(by_bound)[0] > steps_ps(every)[0]


def test_where_a_search_stops_by_tasks_no_plan_with_other_slots_is_faster():
    model, training, machine = load_model("alexnet"), Training(batch=128), load_machine("k40-quad")

    def missed_ps() -> int:
        with patch("planner.search.Agenda", partial(Agenda, left_us=10_000)):
            result = search(model, training, machine)
        assert result.certificate.stopped_by == "tasks"
        best = result.best[0].plan
        others = [replace(best, input_slots=i, landing_slots=n) for i in (1, 2) for n in (1, 2)]
        return steps_ps(result)[0] - min(
            simulated_ps(model, training, other, machine) for other in others
        )

    assert missed_ps() == 0
    with patch.object(Agenda, "_like_best", lambda agenda: None):
        assert missed_ps() > 0


@pytest.mark.parametrize(("devices", "then"), [(8, "heap"), (9, "array")])
def test_on_many_devices_the_array_engine_takes_over(devices, then):
    machine, result = perceptron()[2:]
    ranking = Ranking.of(result.table, Objective.named("time", machine))
    found = Found(objective=ranking.objective, keep=2, limit_ps=np.inf)
    agenda = Agenda(ranking=ranking, found=found, budget=None, devices=devices)
    assert [agenda.engine(9, before) for before in (0, 3_990, 3_991)] == ["heap", "heap", then]
    assert next(iter(agenda)).engine == "heap"
    found.tasks = 4_000
    assert next(iter(agenda)).engine == then


# The space


@pytest.mark.parametrize(
    "fixed",
    [
        {"workers": 2},
        {"algorithm": "star"},
        {"overlap": True, "workers": 3},
        {"microbatch": 4},
        {"workers": 1},
    ],
    ids=str,
)
def test_fixed_fields_are_respected(fixed):
    result = search(tiny_convnet(), Training(batch=12), small_machine(3), fixed=fixed, top=50)
    assert result.best
    plans = list(result.table.space.plans())
    for plan in plans:
        assert {key: getattr(plan, key) for key in fixed} == fixed
    cluster = small_machine(3).cluster(3)
    rings = partial(offered, cluster)
    every = candidates(tiny_convnet(), Training(batch=12), 3, {}, rings)
    assert "multi_ring:2" in {plan.algorithm for plan in every}
    agree = [p for p in every if all(getattr(p, k) == v for k, v in fixed.items())]
    assert plans == agree


@given(model=chain_models(), batch=st.integers(1, 30), devices=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_candidates_are_distinct_and_have_distinct_labels(model, batch, devices):
    found = candidates(model, Training(batch=batch), devices, {})
    assert len(set(found)) == len(found)
    assert {p.workers for p in found} == set(range(1, devices + 1))
    large = [p for p in found if p.bucket_bytes >= 1024]
    assert len({p.label for p in large}) == len(large)


@given(batch=st.integers(1, 30), devices=st.integers(1, 4), names=st.sets(st.sampled_from(SLOTS)))
@settings(max_examples=20, deadline=None)
def test_rows_alike_but_for_some_axes_have_one_first_row(batch, devices, names):
    space = machine_space(tiny_convnet(), Training(batch=batch), small_machine(devices))
    plans, firsts = list(space.plans()), {}
    for row, plan in enumerate(plans):
        firsts.setdefault(replace(plan, **dict.fromkeys(names, 1)), row)
    expected = [firsts[replace(plan, **dict.fromkeys(names, 1))] for plan in plans]
    assert space.first_alike(np.arange(len(plans)), sorted(names)).tolist() == expected


def test_divisors_of_twelve():
    assert divisors(12) == [1, 2, 3, 4, 6, 12]


def test_verdicts_are_counted():
    """Batch 6: of microbatches 1, 2, 3 and 6 one worker can take all, two can take 1 and 3."""
    result = search(tiny_convnet(), Training(batch=6), small_machine(2), fixed=ONE_SLOT)
    two = {"workers": 2, **ONE_SLOT}
    pairs = len(candidates(tiny_convnet(), Training(batch=6), 2, two)) // 4
    counts = dict.fromkeys((v.name.lower() for v in Verdict), 0)
    assert result.certificate.by_verdict == counts | {
        "fits": 4 + 2 * pairs,
        "does_not_divide": 2 * pairs,
    }


def test_norm_group_splits_are_counted():
    model = replace(tiny_convnet(), norm_group=2)
    result = search(model, Training(batch=4), small_machine(1), fixed=ONE_SLOT)
    assert result.certificate.by_verdict["splits_norm_group"] == 1  # microbatch 1 of 1, 2, 4
    assert result.certificate.by_verdict["fits"] == 2


def test_what_a_tiny_device_cannot_hold_is_counted():
    model, training = tiny_convnet(), Training(batch=8)
    plans = candidates(model, training, 2, {})
    divide = [p for p in plans if 8 % (p.workers * p.microbatch) == 0]
    sizes = [sum(memory_bytes(model, training, p).values()) for p in divide]
    middle = sorted(sizes)[len(sizes) // 2]
    result = search(model, training, small_machine(2, memory_bytes=middle), top=100)
    assert result.certificate.by_verdict["out_of_memory"] == sum(s > middle for s in sizes) > 0
    for kept in result.best:
        assert max(kept.prediction.arena_bytes) <= middle
    check_sums(result)


def test_nothing_fits_where_the_device_is_too_small_and_the_message_counts_why():
    with pytest.raises(NothingFits, match=r"none of 6 candidates .*6 the static arena is larger"):
        search(tiny_convnet(), Training(batch=4), small_machine(1, memory_bytes=100))


def test_nothing_fits_where_fixed_fields_exclude_each_other():
    message = "none of 0 candidates can be .the constraints leave none"
    with pytest.raises(NothingFits, match=message):
        search(
            tiny_convnet(),
            Training(batch=4),
            small_machine(2),
            fixed={"workers": 1, "algorithm": "ring"},
        )


def test_nothing_fits_where_no_batch_divides():
    with pytest.raises(NothingFits, match="the batch is not workers x microbatch"):
        search(tiny_convnet(), Training(batch=5), small_machine(2), fixed={"workers": 2})


# Objectives


def test_each_objective_is_the_least_of_all_plans():
    model, training = tiny_convnet(), Training(batch=12)
    machine = load_machine("dgx-a100-80g")
    fixed = {**ONE_SLOT, "algorithm": "ring", "bucket_bytes": 64}
    everything = [
        (simulated_ps(model, training, plan, machine), plan)
        for plan in candidates(model, training, 8, {**fixed, "algorithm": "ring"})
        if training.batch % (plan.workers * plan.microbatch) == 0
    ]
    for name in ("time", "cost", "energy", "devices"):
        aim = Objective.named(name, machine)
        best = search(model, training, machine, objective=name, fixed=fixed, budget=ALL).best[0]
        least = min(aim.of_plan(plan, ps) for ps, plan in everything)
        ps = simulated_ps(model, training, best.plan, machine)
        assert aim.of_plan(best.plan, ps) == pytest.approx(least, rel=1e-12)


def test_the_fewest_devices_for_a_deadline():
    model, training, machine = (
        load_model("mlp"),
        Training(batch=1 << 18),
        load_machine("v100-quad"),
    )
    fixed = {**ONE_SLOT, "algorithm": "ring", "overlap": True, "microbatch": 1 << 16}
    two_s = (
        search(model, training, machine, fixed={**fixed, "workers": 2}).best[0].prediction.step_s
    )
    for limit_s, workers in ((two_s * 1.001, 2), (two_s * 0.999, 4)):
        asked = Constraints(fixed=fixed, most={"step_s": limit_s})
        found = search(model, training, machine, constraints=asked, objective="devices", top=1)
        assert found.best[0].plan.workers == workers
        assert found.best[0].prediction.step_s <= limit_s


def test_no_simulated_plan_of_a_front_beats_another_in_both():
    model, training, machine = tiny_convnet(), Training(batch=12), small_machine(3)
    result = search_front(model, training, machine, ("time", "memory"), budget=ALL)
    pairs = [(c.prediction.step_s, max(c.prediction.arena_bytes)) for c in result.best]
    assert len(pairs) > 1
    assert pairs == sorted(pairs)
    assert [memory for _, memory in pairs] == sorted((m for _, m in pairs), reverse=True)
    assert len({memory for _, memory in pairs}) == len(pairs)


def test_an_unknown_price_refuses_the_objective():
    with pytest.raises(PlanError, match=r"the price of device 'gpu' is not known; add \[price\]"):
        search(tiny_convnet(), Training(batch=4), small_machine(2), objective="cost")


def test_large_programs_stop_the_search_and_the_gap_is_told():
    model, training, machine = load_model("alexnet"), Training(batch=512), load_machine("v100-quad")
    fixed = {"algorithm": "star", "bucket_bytes": 65536}
    small = search(model, training, machine, fixed=fixed, budget=2)
    assert small.certificate.stopped_by == "budget"
    assert small.certificate.gap_frac > 0
    assert f"up to {100 * small.certificate.gap_frac:.1f} % faster" in small.certificate.statement
