"""Rankings: the order of all rows, while sections that cannot matter are never priced."""

from dataclasses import replace

import numpy as np
import pytest

from foreplan.machines import load_machine
from planner.layout import memory_bytes
from planner.machine import Machine
from planner.memory import frame, held_activations
from planner.model import ModelGraph, load_model
from planner.objective import Objective
from planner.plan import Plan, Training, Verdict
from planner.ranking import Ranking, best_rows, left_over
from planner.search import machine_space
from planner.space import Constraints
from planner.table import PlanTable, Section, price
from tests.planner_cases import small_machine, tiny_convnet


def table_of(
    model: ModelGraph, batch: int, machine: Machine, constraints: Constraints | None = None
) -> PlanTable:
    training = Training(batch=batch)
    space = machine_space(model, training, machine, constraints)
    return price(model, training, space, machine, constraints)


def is_priced(section: Section) -> bool:
    return "bounds" in vars(section)


def check_order(ranking: Ranking, table: PlanTable, count: int) -> None:
    rows = best_rows(table, ranking.objective).rows[:count].tolist()
    found = [int(ranking.queue.rows[i]) for i in range(count) if ranking.reaches(i)]
    assert found == rows


@pytest.mark.parametrize("objective", ["time", "memory", "devices"])
@pytest.mark.parametrize("most", [{}, {"step_s": 4e-5}, {"memory_bytes": 3000}])
def test_rows_come_in_the_order_of_all_rows(objective, most):
    machine = small_machine(3)
    tables = [table_of(tiny_convnet(), 12, machine, Constraints(most=most)) for _ in range(3)]
    aim = Objective.named(objective, machine)
    check_order(Ranking.of(tables[0], aim), tables[1], 40)
    assert tables[0].tally() == tables[2].tally()


def test_the_order_shows_a_section_that_is_taken_to_be_worse_than_it_is():
    table = table_of(tiny_convnet(), 12, small_machine(3))
    wrong = Ranking.of(table, Objective.named("time", small_machine(3)))
    wrong.waiting = [((np.inf, 0), *entry[1:]) for entry in wrong.waiting]
    with pytest.raises(AssertionError):
        check_order(wrong, table, 40)


def test_the_least_key_that_is_left_is_that_of_all_rows():
    aim, machine = Objective.named("time", small_machine(4)), small_machine(4)
    whole, lazy = (table_of(tiny_convnet(), 12, machine) for _ in range(2))
    order = best_rows(whole, aim)
    for done in (1, 3, len(order) // 2):
        key, rows = order.key(done), order.rows[:done]
        left = left_over(lazy, aim, rows, key)
        assert left.least == key
        assert left.better == 0
        assert left_over(lazy, aim, rows[1:], key).better == (order.key(0) < key)
    assert left_over(whole, aim, order.rows, order.key(len(order) - 1)).least is None


def test_sections_whose_passes_alone_take_too_long_are_never_priced():
    machine = load_machine("dgx-1-v100")
    table = table_of(load_model("resnet-18"), 256, machine)
    ranking = Ranking.of(table, Objective.named("time", machine))
    assert ranking.reaches(20)
    sections = list(table.open_sections())
    priced = [section for section in sections if is_priced(section)]
    assert [section.stripe.workers for section in priced] == [8]
    assert len(sections) > 8
    last_ps = ranking.queue.bound_ps[20]
    assert all(s.passes.table.min() > last_ps for s in sections if s not in priced)


def test_no_bound_is_less_than_the_passes_take():
    table = table_of(tiny_convnet(), 12, small_machine(4))
    for section in table.open_sections():
        assert (section.bounds.table > section.passes.table).all()


ONE = Plan(workers=1, microbatch=1, placement=(0,), algorithm="none", bucket_bytes=1, overlap=False)
MODELS = ("resnet-18", "squeezenet", "gpt-nano", "alexnet-cifar", "mobilenet-v2-0.5")


@pytest.mark.parametrize("name", MODELS)
def test_more_samples_never_hold_fewer_bytes(name):
    model, training = load_model(name), Training(batch=512)
    held = [
        held_activations(frame(model, training, replace(ONE, workers=workers, microbatch=samples)))
        for samples in (32, 64, 128)
        for workers in (512 // samples, 1)
    ]
    assert held == sorted(held)
    assert held[::2] == held[1::2]
    assert held[2] >= 2 * held[0]
    assert held[4] >= 2 * held[2], "twice the samples hold twice the bytes"


def test_what_smaller_microbatches_rule_out_does_not_fit():
    model, machine, training = (
        load_model("resnet-18"),
        load_machine("v100-quad"),
        Training(batch=512),
    )
    most = {"memory_bytes": 3e9}
    table = table_of(model, 512, machine, Constraints(most=most))
    ruled = [s for s in table.sections if s.verdict is Verdict.OUT_OF_MEMORY]
    assert len(ruled) > 1
    for section in ruled:
        plan = table.plan(section.first)
        assert sum(memory_bytes(model, training, plan).values()) > most["memory_bytes"], plan
    whole = table_of(model, 512, machine).open_sections()
    fits = sum(int((b.arena_bytes <= 3e9).sum()) for s in whole for b in table.blocks_of(s))
    assert table.tally().counts[Verdict.FITS] == fits > 0
