"""Bounds are close to the simulation: half of all plans within a few per cent, few far below."""

from collections.abc import Iterator

import numpy as np
import pytest

from foreplan.machines import load_machine
from planner.cost import Estimate, estimate
from planner.model import load_model
from planner.plan import Training
from planner.search import machine_space
from sim.heap_engine import simulate
from tests.planner_cases import Case

pytestmark = pytest.mark.slow

MODELS = ("lenet-5", "mlp", "alexnet", "cifar10-quick")
BATCH = 256
CLUSTERS = ("v100-quad", "dgx-1-v100", "dual-xeon-e5-2660-v3", "tpu-v2-board", "aws-p2-8xlarge")
ROWS = 4
"""Of each model on each cluster."""
MEDIAN, FIFTH_PERCENTILE = 0.95, 0.85
"""What the bound must be of the simulated time at least."""


def corpus(seed: int) -> Iterator[Case]:
    """Yield plans at random: any of the space that divide the batch and are simulated quickly."""
    rng = np.random.default_rng(seed)
    for name in MODELS:
        model = load_model(name)
        for cluster in CLUSTERS:
            machine = load_machine(cluster)
            dtype = "bfloat16" if cluster.startswith("tpu") else "float32"
            training = Training(batch=BATCH, dtype=dtype)
            space = machine_space(model, training, machine)
            found = 0
            while found < ROWS:
                plan = space.plan(int(rng.integers(space.rows)))
                if BATCH % (plan.workers * plan.microbatch) == 0 and plan.microbatch >= 32:
                    found += 1
                    yield Case(model=model, training=training, plan=plan, machine=machine)


def estimated(c: Case) -> Estimate:
    return estimate(c.model, c.training, c.plan, c.cluster, c.books)


def check_tight(bounds_ps: list[int], simulated_ps: list[int]) -> None:
    share = np.array(bounds_ps) / np.array(simulated_ps)
    assert share.max() <= 1, "no lower bound"
    assert np.median(share) >= MEDIAN
    assert np.quantile(share, 0.05) >= FIFTH_PERCENTILE


@pytest.mark.parametrize("seed", [0, 3, 15, 49])
def test_bounds_are_close_to_the_simulation_and_never_above_it(seed):
    cases = list(corpus(seed))
    simulated_ps = [simulate(c.lower().graph).makespan_ps for c in cases]
    bounds_ps = [estimated(c).bound_ps for c in cases]
    check_tight(bounds_ps, simulated_ps)
    # the oracle, shown to fail: a bound that is too high by a little, and one that forgets loading
    exact = next(i for i, (a, b) in enumerate(zip(bounds_ps, simulated_ps, strict=True)) if a == b)
    with pytest.raises(AssertionError, match="no lower bound"):
        check_tight([b + (i == exact) for i, b in enumerate(bounds_ps)], simulated_ps)
    one = [min(estimated(c).bounds_ps.values()) for c in cases]
    with pytest.raises(AssertionError):
        check_tight(one, simulated_ps)
