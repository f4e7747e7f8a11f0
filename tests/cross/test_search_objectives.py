"""Each objective of a search is the least of all plans, and a front is one."""

import pytest

from foreplan.machines import load_machine
from hwprofiles.errors import PlanError
from planner.model import load_model
from planner.objective import Objective
from planner.plan import Training
from planner.search import search, search_front
from planner.space import Constraints
from tests.cross.searches import ALL, ONE_SLOT, simulated_ps
from tests.planner_cases import candidates, small_machine, tiny_convnet

pytestmark = pytest.mark.slow


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
