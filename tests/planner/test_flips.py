"""Flip points: a search on either side finds another winner; contests find what a search finds."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import foreplan
import planner.explain
from hwprofiles.calibration import OpSample
from hwprofiles.errors import PlanError, RecordError
from planner.batches import choice_changes
from planner.contest import Contest, held_to
from planner.cost import estimate
from planner.explain import MOST_TASKS, explain
from planner.flips import Knob
from planner.model import load_model
from planner.opsets import plan_calls
from planner.plan import Training
from planner.published.fitted import DATASHEET
from planner.records import plans_sha256
from planner.search import search
from planner.whatif import what_if
from tests.planner.test_whatif import asked_file, bare_file

MODEL = "lenet-5"
KNOBS = {
    knob.name: knob
    for knob in (
        Knob(scope="intra", key="bandwidth", is_rate=True),
        Knob(scope="intra", key="latency", is_rate=False),
        Knob(scope="device", key="speed", is_rate=True),
    )
}


TOLD = []
"""What the first explanation told on its way."""


@cache
def explained():
    return explain(asked_file(), told=lambda *told: TOLD.append(told))


def searched(knob, factor):
    """Label and step of the winner of a whole search, as the user would run it."""
    file = asked_file()
    machine = KNOBS[knob].machine(file, factor)
    best = search(load_model(MODEL), file.training, machine, top=1, fixed=file.fixed).best
    return best[0].plan.label, best[0].prediction.step_s


def check_flip(flip):
    """Plan on both sides: 3 % before and 3 % beyond."""
    away = 1.03 if flip.side == "above" else 0.97
    near, _ = searched(flip.knob, flip.factor / away)
    far, _ = searched(flip.knob, flip.factor * away)
    assert near in {explained().label, *explained().tied}
    assert far == flip.winner != near
    steps = (flip.beyond_factor, flip.factor)
    assert max(steps) / min(steps) == pytest.approx(1.03)
    assert (flip.beyond_factor > flip.factor) == (flip.side == "above")


def test_the_winner_changes_at_every_flip_point():
    flips = [flip for flip in explained().flips if flip.factor is not None]
    assert {(flip.knob, flip.side) for flip in flips} == {
        ("intra.bandwidth", "above"),
        ("intra.latency", "below"),  # to two rings at once
        ("intra.latency", "above"),
        ("device.speed", "below"),
    }
    for flip in flips:
        assert flip.proved
        assert 0 < flip.faster_frac < 0.1
        check_flip(flip)


@pytest.mark.parametrize("shift", [1 / 1.1, 1.1])
def test_a_flip_point_that_is_off_by_a_tenth_is_seen(shift):
    flip = next(flip for flip in explained().flips if flip.factor is not None)
    with pytest.raises(AssertionError):
        check_flip(replace(flip, factor=flip.factor * shift))


def test_where_no_flip_is_named_a_search_finds_the_same_winner():
    firm = [flip for flip in explained().flips if flip.factor is None]
    assert len(firm) == 2
    for flip in firm:
        label, _ = searched(flip.knob, flip.range_factor)
        assert label == explained().label


@pytest.mark.parametrize(
    ("knob", "factor"), [("intra.bandwidth", 0.2), ("intra.latency", 0.1), ("device.speed", 0.3)]
)
def test_a_contest_is_won_by_the_plan_that_a_search_finds(knob, factor):
    file = asked_file()
    contest = Contest.of(load_model(MODEL), file, MOST_TASKS)
    machine = KNOBS[knob].machine(file, factor)
    faster = (factor > 1) == KNOBS[knob].is_rate
    floor_ps = contest.floor_ps(machine if faster else contest.machine)
    found = contest.winner(machine, [0], floor_ps)
    label, step_s = searched(knob, factor)
    assert found.step_ps == round(step_s * 1e12)
    assert contest.plans[found.row].label == label
    assert found.proved


def test_a_floor_that_is_too_high_is_seen():
    """The oracle of the test above: who is taken for too slow on faster hardware cannot win."""
    contest = Contest.of(load_model(MODEL), asked_file(), MOST_TASKS)
    machine = KNOBS["device.speed"].machine(asked_file(), 0.3)
    found = contest.winner(machine, [0], contest.floor_ps(machine) * 100)
    assert found.step_ps != round(searched("device.speed", 0.3)[1] * 1e12)


def test_a_candidate_that_the_search_did_not_reach_is_named():
    file = asked_file()
    last = replace(file, plans=file.plans[2:])
    found = explain(replace(last, plans_sha256=plans_sha256(last.plans)), batches=False)
    assert found.faster == explained().label
    assert found.flips == found.tied == ()


def test_a_candidate_that_is_faster_today_is_no_flip_wherever_it_is_found(monkeypatch):
    """Where programs are large, those that lead today are decided among few."""
    file = asked_file()
    last = replace(file, plans=file.plans[2:])
    last = replace(last, plans_sha256=plans_sha256(last.plans))
    monkeypatch.setattr(Contest, "leaders", lambda contest, now_ps: (0,))
    monkeypatch.setattr(planner.explain, "knobs", lambda tiers: [KNOBS["device.speed"]])
    found = explain(last, batches=False)
    assert found.faster
    assert found.flips == found.tied == ()
    # the fault that it is there for: a flip where nothing was turned yet
    monkeypatch.setattr(planner.explain._Turns, "_ahead", lambda turns: None)
    wrong = explain(last, batches=False)
    assert min(abs(np.log(f.factor)) for f in wrong.flips if f.factor) < 0.01


def test_a_contest_of_measured_ops_is_among_plans_whose_ops_the_file_holds():
    file = asked_file()
    held = file.plans[0].plan
    calls = plan_calls(load_model(MODEL), file.training, held).values()
    ops = tuple(
        OpSample(
            signature=call.signature,
            op_class=call.op_class,
            dtype=call.dtype,
            flop=call.flop,
            moved_bytes=call.moved_bytes,
            median_s=1e-6,
            iqr_s=0.0,
            repeats=3,
        )
        for call in calls
    )
    (record,) = file.machine.values()
    (kind,) = record.device_kinds
    timed = replace(file, machine={0: replace(record, ops={kind.name: ops})})
    contest = Contest.of(load_model(MODEL), timed, MOST_TASKS)
    assert not contest.is_whole
    rest = contest.plans[len(file.plans) :]
    assert {plan.microbatch for plan in rest} <= {held.microbatch}
    assert {plan.workers for plan in rest} <= {1, held.workers}
    assert Contest.of(load_model(MODEL), file, MOST_TASKS).is_whole


def test_a_contest_that_may_not_lower_enough_says_so():
    contest = Contest.of(load_model(MODEL), asked_file(), 1)
    machine = KNOBS["device.speed"].machine(asked_file(), 0.3)
    assert not contest.winner(machine, [0], contest.floor_ps(contest.machine)).proved


@pytest.mark.parametrize("fixed", [{}, {"workers": 2}, {"overlap": True, "microbatch": 8}], ids=str)
def test_a_contest_is_among_the_candidates_that_fit_what_was_fixed(fixed):
    file = foreplan.plan(
        "mlp", "v100-quad", Training(batch=16), top=4, fixed=fixed, software=DATASHEET
    )
    contest = Contest.of(load_model("mlp"), file, MOST_TASKS)
    proof = file.certificate
    assert len(contest.plans) == proof.by_verdict["fits"] - proof.pruned_by_dominance
    for name, value in fixed.items():
        assert {getattr(plan, name) for plan in contest.plans} == {value}


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_priced_alike_in_the_least_space_that_holds_them(seed):
    contest = Contest.of(load_model(MODEL), asked_file(), MOST_TASKS)
    rows = np.random.default_rng(seed).choice(len(contest.plans), 12, replace=False).tolist()
    whole = contest.floor_ps(contest.machine)
    assert contest.closed_ps(contest.machine, rows).tolist() == whole[rows].tolist()
    for row in rows:
        plan, machine = contest.plans[row], contest.machine
        cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
        alone = estimate(contest.model, contest.training, plan, cluster, books)
        assert whole[row] == alone.closed_form_ps


def test_closed_forms_are_exact_below_a_limit():
    contest = Contest.of(load_model(MODEL), asked_file(), MOST_TASKS)
    whole = contest.floor_ps(contest.machine)
    limit_ps = int(np.median(whole))
    found = contest.floor_ps(contest.machine, limit_ps)
    below = whole < limit_ps
    assert (found[below] == whole[below]).all()
    assert ((limit_ps <= found[~below]) & (found[~below] <= whole[~below])).all()
    assert (found < whole).any(), "what cannot win is not priced"


def test_every_row_of_a_space_is_found_again():
    space = Contest.of(load_model(MODEL), asked_file(), MOST_TASKS).plans.space
    assert [space.row(plan) for plan in space.plans()] == list(range(space.rows))
    assert space.row(replace(space.plan(0), decode_workers=1)) is None


def test_a_file_that_was_searched_for_another_objective_is_refused():
    file = bare_file()
    other = replace(file, certificate=replace(file.certificate, objective="memory"))
    for ask in (explain, lambda plans: what_if(plans, ["bandwidth=2x"])):
        with pytest.raises(PlanError, match="objective 'memory'; plan again"):
            ask(other)


def test_a_file_that_fixes_what_cannot_be_fixed_is_refused():
    with pytest.raises(RecordError, match="fixed 'worker': unknown; did you mean workers"):
        held_to(replace(bare_file(), fixed={"worker": 2}))


def test_a_file_that_does_not_say_what_was_fixed_is_held_among_its_own_plans():
    file = bare_file()
    found = explain(replace(file, fixed=None))
    assert not found.all_candidates
    assert found.candidates == len(file.plans)
    assert found.batches == ()


def searched_choice(batch: int):
    training, fixed = Training(batch=batch), asked_file().fixed
    again = foreplan.plan(MODEL, "v100-quad", training, top=1, fixed=fixed, software=DATASHEET)
    return again.plans[0], choice_changes(asked_file().plans[0].plan, again.plans[0].plan)


def check_batch(at) -> None:
    """With this batch a search finds this plan; with the one before it, the choice of the file."""
    found, changes = searched_choice(at.batch)
    assert (at.winner, at.step_s) == (found.label, found.prediction.step_s)
    assert at.differs == changes
    if changes:
        file = asked_file()
        unit = file.plans[0].plan.workers * load_model(MODEL).norm_group
        nearer = at.batch + (unit if at.batch < file.training.batch else -unit)
        assert not searched_choice(nearer)[1]


def test_the_nearest_batch_with_another_choice_is_found():
    found = explained().batches
    assert any(at.differs for at in found)
    for at in found:
        check_batch(at)


def test_a_batch_that_is_too_far_is_seen():
    at = next(at for at in explained().batches if at.differs)
    with pytest.raises(AssertionError):
        check_batch(replace(at, batch=at.batch + 32 * (1 if at.batch > 64 else -1)))


def test_what_does_not_matter_may_be_halved_and_doubled():
    alone = explain(bare_file(), batches=False)
    assert alone.label.startswith("dp1-")
    names = {idle.name: idle.why for idle in alone.idle}
    assert names["nvlink-2-x1 (device to device)"] == "carries no bytes"
    for name in ("intra.bandwidth", "intra.latency"):
        assert names[name].startswith("neither half nor double")
        for factor in (0.5, 2.0):
            machine = KNOBS[name].machine(bare_file(), factor)
            contest = Contest.of(load_model("mlp"), bare_file(), MOST_TASKS)
            assert contest.step_ps(0, machine) == round(alone.step_s * 1e12)
    assert "device.speed" not in names


def test_the_margin_is_that_of_the_file_and_the_loser_sees_it_the_other_way_round():
    file, found = asked_file(), explained()
    best, second = (ranked.prediction.step_s for ranked in file.plans[:2])
    assert found.margin.label == file.plans[1].label
    assert found.margin.ahead_frac == pytest.approx(second / best - 1)
    lost = explain(file, 1)
    assert lost.margin.label == found.label
    assert lost.margin.ahead_s == pytest.approx(-found.margin.ahead_s)
    assert lost.flips == ()
    assert {c.field for c in lost.margin.differs} == {c.field for c in found.margin.differs}
    assert sum(found.margin.path_s.values()) == pytest.approx(second - best)


def check_course(told):
    """One course of all stages: it never goes back, and nothing is done before something is."""
    stages = list(dict.fromkeys(stage for stage, *_ in told))
    assert stages == ["lowering", "jitter", "flip points", "batches"]
    done = [so_far for _, so_far, _ in told]
    assert done[0] == 0 < done[1], "no time left is told before the plan is lowered"
    assert done == sorted(done)
    assert len({total for _, _, total in told[1:]}) == 1
    assert done[-1] <= told[-1][2] < 2 * done[-1], "about as much was done as was expected"


def test_how_far_an_explanation_is_is_one_course():
    explained()
    check_course(TOLD)
    # the oracle, shown to fail: a stage that counts for itself
    alone = [(stage, done - 1500 * (stage == "batches"), total) for stage, done, total in TOLD]
    with pytest.raises(AssertionError):
        check_course(alone)
