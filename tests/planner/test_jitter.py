"""Jitter: seeded, bounded, the same for the same task; a firm order holds and a tie does not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner.jitter import JITTER_FRAC, _names, jittered, order
from planner.reprice import Lowered
from tests.planner_cases import case, small_machine

MACHINE = small_machine(3)


def lowered(**fields):
    c = case(machine=MACHINE, **fields)
    return Lowered.of(c.model, c.training, c.plan, MACHINE)


ONE, THREE = lowered(workers=1), lowered(workers=3, batch=12)
STAR = lowered(workers=3, batch=12, algorithm="star")


@given(seed=st.integers(0, 2**31))
def test_a_jitter_is_its_seeds_and_within_its_bound(seed):
    graph, names = THREE.program.graph, _names(THREE)
    once, again = jittered(graph, names, seed), jittered(graph, names, seed)
    assert once.sha256() == again.sha256()
    for name in ("duration_ps", "payload_bytes"):
        new, old = getattr(once, name), getattr(graph, name)
        assert np.all(np.abs(new - old) <= np.ceil(JITTER_FRAC * old))
    assert once.sha256() != jittered(graph, names, seed + 1).sha256()


def test_the_same_task_gets_the_same_jitter_in_both_plans():
    factors = [{}, {}]
    for plan, found in zip((THREE, STAR), factors, strict=True):
        new = jittered(plan.program.graph, _names(plan), 3)
        for task in range(plan.program.graph.tasks):
            found[plan.program.label(task)] = int(new.duration_ps[task])
    common = factors[0].keys() & factors[1].keys()
    assert any(name.startswith("c1@") for name in common)
    assert all(factors[0][name] == factors[1][name] for name in common if "update" not in name)


def test_a_wide_lead_holds_in_all_seeds_and_turned_round_in_none():
    assert THREE.step_ps(MACHINE) < 0.9 * ONE.step_ps(MACHINE)
    firm = order(THREE, ONE, MACHINE, seeds=8)
    assert (firm.held, firm.seeds) == (8, 8)
    assert firm.least_frac > 0
    assert order(THREE, ONE, MACHINE, seeds=8) == firm
    assert order(ONE, THREE, MACHINE, seeds=8).held == 0


def test_equal_plans_keep_a_lead_of_nothing():
    tie = order(STAR, STAR, MACHINE, seeds=4)
    assert (tie.held, tie.least_frac, tie.most_frac) == (4, 0.0, 0.0)
