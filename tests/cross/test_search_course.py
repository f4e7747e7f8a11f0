"""The course of a search: interrupts, progress, the order of rows, where it stops."""

from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest

from foreplan.machines import load_machine
from planner.agenda import Agenda
from planner.certificate import Found
from planner.model import load_model
from planner.objective import Objective
from planner.plan import Training
from planner.predict import Simulation
from planner.ranking import Ranking
from planner.search import search
from tests.cross.searches import (
    ALL,
    check_sums,
    perceptron,
    simulated_ps,
    steps_ps,
)

pytestmark = pytest.mark.slow


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
