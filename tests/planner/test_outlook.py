"""What rows are expected to take: near what like ones took, and what that makes worth a look."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreplan.machines import load_machine
from planner.model import load_model
from planner.outlook import SPREAD, Outlook, gains
from planner.plan import Training
from planner.search import machine_space, search

LOGS = st.floats(0, 1.5)


@pytest.fixture(scope="module")
def space():
    return machine_space(load_model("lenet-5"), Training(batch=64), load_machine("v100-quad"))


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_rows_that_were_simulated_are_known_and_like_ones_are_near(space, data):
    rows = data.draw(st.lists(st.integers(0, space.rows - 1), min_size=2, max_size=8, unique=True))
    outlook = Outlook(space=space)
    assert outlook.logs_of(np.array(rows))[1] == pytest.approx(SPREAD)
    logs = data.draw(st.lists(LOGS, min_size=len(rows), max_size=len(rows)))
    for row, log in zip(rows, logs, strict=True):
        outlook.note(row, log)
    expected, off = outlook.logs_of(np.array(rows))
    spread = max(SPREAD, *logs)
    assert expected == pytest.approx(logs, abs=0.02 * spread)
    assert off.max() < 0.2 * spread
    every = outlook.logs_of(np.arange(space.rows))
    assert (every[0] >= 0).all()
    assert (every[1] >= off.min()).all()


def test_what_one_row_took_says_less_of_rows_that_are_less_like_it(space):
    outlook = Outlook(space=space)
    outlook.note(0, 0.5)
    expected, off = outlook.logs_of(np.arange(space.rows))
    order = np.argsort(-expected, kind="stable")
    assert expected[order[0]] > 2 * expected[order[-1]]
    assert (np.diff(off[order]) >= 0).all()


@given(
    expected=st.floats(0, 1), off=st.floats(1e-3, 0.5), room=st.floats(-0.5, 1), seed=st.integers(0)
)
@settings(max_examples=60, deadline=None)
def test_what_is_to_be_gained_is_the_mean_of_what_draws_gain(expected, off, room, seed):
    """And never more than a bound leaves."""
    (found,) = gains(np.array([expected]), np.array([off]), np.array([room]))
    drawn = np.random.default_rng(seed % 2**32).normal(expected, off, 20_000)
    mean = np.maximum(room - drawn, 0).mean()
    assert 0 <= found <= max(room, 0) + 1e-9
    if mean < room:
        assert found == pytest.approx(mean, abs=0.05 * off + 1e-9)


def steps_ps(result):
    return [candidate.prediction.step_s for candidate in result.best]


def test_over_nodes_three_simulations_find_what_bounds_find_in_eleven():
    model, training = load_model("alexnet"), Training(batch=512)
    machine = load_machine("dgx-1-v100:2", "pytorch-containers")
    every, few = (search(model, training, machine, budget=n) for n in (40, 3))
    assert every.certificate.stopped_by == "proof"
    assert steps_ps(few)[0] == steps_ps(every)[0]
    with patch.object(
        Outlook, "logs_of", lambda self, rows: (np.zeros(len(rows)), np.ones(len(rows)))
    ):
        blind = search(model, training, machine, budget=3)
    assert steps_ps(blind)[0] > steps_ps(every)[0]
