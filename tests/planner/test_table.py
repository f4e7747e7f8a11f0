"""Plan tables: a row is the scalar path to the bit; tasks, verdicts and equal programs hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreplan.machines import load_machine
from hwprofiles.errors import CheckFailed
from planner.cost import estimate
from planner.factors import Factor
from planner.layout import memory_bytes
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.objective import Objective
from planner.opcall import DTYPE_BYTES
from planner.plan import Plan, Training, Verdict
from planner.predict import predict
from planner.ranking import best_rows, front, worth
from planner.search import machine_space
from planner.space import Choices, Constraints, Space, plan_space
from planner.table import PlanTable, price
from tests.planner_cases import machines, models, small_machine, tiny_convnet

ROWS = 25


@st.composite
def spaces(draw: st.DrawFn, model: ModelGraph, training: Training, machine: Machine) -> Space:
    """Spaces with several values on every axis, placements at random among them."""
    whole = model.parameter_count * DTYPE_BYTES[training.dtype]
    slots = st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True).map(tuple)
    choices = Choices(
        bucket_bytes=(4, max(4, whole // 3)),
        input_slots=draw(slots),
        activation_slots=draw(slots),
        landing_slots=draw(slots),
    )
    orders = [draw(st.permutations(range(machine.devices))) for _ in range(2)]
    return plan_space(
        model,
        training,
        machine.devices,
        placements=lambda w: list(dict.fromkeys(tuple(order[:w]) for order in orders)),
        choices=choices,
    )


def check_row(table: PlanTable, place: int, model, training: Training, machine: Machine) -> Plan:
    block = table.priced(place)
    plan = table.plan(int(block.rows[0]))
    scalar = estimate(
        model, training, plan, machine.cluster(plan.workers), machine.books(plan.workers)
    )
    assert block.bound_ps[0] == scalar.bound_ps, plan
    assert block.arena_bytes[0] == sum(memory_bytes(model, training, plan).values()), plan
    return plan


@given(data=st.data(), batch=st.sampled_from([6, 12]))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_row_has_the_price_and_memory_of_the_scalar_path(data, batch):
    model, machine = data.draw(models()), data.draw(machines())
    training = Training(batch=batch)
    table = price(model, training, data.draw(spaces(model, training, machine)), machine)
    rng = np.random.default_rng(batch)
    for place in rng.choice(table.priced_rows, min(ROWS, table.priced_rows), replace=False):
        check_row(table, int(place), model, training, machine)


def tiny_table(**limits: float) -> tuple[PlanTable, ModelGraph, Training, Machine]:
    model, training, machine = tiny_convnet(), Training(batch=12), small_machine(4)
    constraints = Constraints(most=limits)
    space = machine_space(model, training, machine, constraints)
    return price(model, training, space, machine, constraints), model, training, machine


def test_the_check_of_rows_shows_a_price_that_is_one_picosecond_off():
    table, model, training, machine = tiny_table()
    section = next(s for s in table.sections if s.verdict is Verdict.FITS)
    wrong = Factor(axes=section.bounds.axes, table=section.bounds.table + 1)
    sections = (replace(section, price=lambda: wrong),)
    with pytest.raises(AssertionError):
        check_row(replace(table, sections=sections), 0, model, training, machine)


def test_blocks_and_single_rows_are_the_same_rows():
    table, *_ = tiny_table()
    place = 0
    for block in table.blocks():
        for i in range(0, len(block.rows), 7):
            one = table.priced(place + i)
            assert one.rows[0] == block.rows[i]
            assert (one.bound_ps[0], one.arena_bytes[0]) == (
                block.bound_ps[i],
                block.arena_bytes[i],
            )
            assert (one.tasks[0], one.spare[0]) == (block.tasks[i], block.spare[i])
        place += len(block.rows)
    assert place == table.priced_rows


def test_rows_are_the_plans_of_the_space_in_order():
    table, *_ = tiny_table()
    plans = list(table.space.plans())
    assert len(plans) == table.space.rows == len(set(plans))
    for row in range(0, table.space.rows, 17):
        assert table.plan(row) == plans[row]
    for block in table.blocks():
        for i in range(0, len(block.rows), 11):
            plan = plans[int(block.rows[i])]
            stripe = next(s for s in table.space.stripes if s.workers == plan.workers)
            for name, at in block.indices.items():
                assert stripe.axes[name][int(at[i])] == getattr(plan, name)


def test_tasks_are_those_of_the_program_and_spare_rows_are_the_program_of_another():
    table, model, training, machine = tiny_table()
    rng = np.random.default_rng(0)
    spare = 0
    for place in rng.choice(table.priced_rows, 24, replace=False).tolist():
        block = table.priced(place)
        plan = table.plan(int(block.rows[0]))
        prediction, _, timeline = predict(model, training, plan, machine)
        assert block.tasks[0] == prediction.tasks
        if block.spare[0]:
            spare += 1
            rounds = plan.microbatches(training.batch)
            least = replace(
                plan,
                input_slots=1 if rounds == 1 else plan.input_slots,
                overlap=plan.overlap and plan.bucket_bytes < 500,
            )
            assert timeline.makespan_ps in {
                predict(model, training, replace(least, landing_slots=s), machine)[2].makespan_ps
                for s in {1, plan.landing_slots}
            }
    assert spare > 3


@pytest.mark.parametrize("name", ["microbatch", "batch"])
def test_verdicts_count_every_row_once(name):
    table, *_ = tiny_table()
    tally = table.tally()
    assert sum(tally.counts.values()) == table.space.rows
    assert tally.counts[Verdict.FITS] == table.priced_rows
    for verdict, row in tally.examples.items():
        plan = table.plan(row)
        divides = 12 % (plan.workers * plan.microbatch) == 0
        assert divides == (verdict is Verdict.FITS), name


def test_limits_turn_rows_away_and_name_why():
    table, *_ = tiny_table()
    arenas = np.concatenate([block.arena_bytes for block in table.blocks()])
    bounds = np.concatenate([block.bound_ps for block in table.blocks()])
    memory, step_s = int(np.median(arenas)), float(np.median(bounds)) / 1e12
    small = tiny_table(memory_bytes=memory)[0].tally().counts
    assert small[Verdict.OUT_OF_MEMORY] == np.count_nonzero(arenas > memory) > 0
    quick = tiny_table(step_s=step_s)[0].tally().counts
    assert quick[Verdict.TOO_SLOW] == np.count_nonzero(bounds > int(step_s * 1e12)) > 0


def test_the_queue_is_what_sorting_all_rows_gives():
    table, _, _, machine = tiny_table()
    aim = Objective.named("time", machine)
    blocks = [worth(block) for block in table.blocks()]
    every = sorted(
        (int(b), int(s), int(t), int(r))
        for block in blocks
        for b, s, t, r in zip(
            block.bound_ps, table.slots(block), block.tasks, block.rows, strict=True
        )
    )
    queue = best_rows(table, aim, 20)
    assert queue.rows.tolist() == [row for *_, row in every[:20]]


def test_no_row_beats_a_row_of_the_front_in_both_objectives():
    table, _, _, machine = tiny_table()
    time, memory = (Objective.named(name, machine) for name in ("time", "memory"))
    kept = front(table, time, memory)
    every = [
        (t, m)
        for block in map(worth, table.blocks())
        for t, m in zip(time.of_block(table, block), memory.of_block(table, block), strict=True)
    ]
    found = [(float(kept.value[i]), _memory(table, int(kept.rows[i]))) for i in range(len(kept))]
    best = {
        (t, m)
        for t, m in set(every)
        if not any((a, b) != (t, m) and a <= t and b <= m for a, b in every)
    }
    assert set(found) == best
    assert found == sorted(found)


def _memory(table: PlanTable, row: int) -> float:
    for block in table.blocks():
        at = np.flatnonzero(block.rows == row)
        if len(at):
            return float(block.arena_bytes[at[0]])
    raise KeyError(row)


def test_a_price_that_differs_from_the_scalar_path_fails_the_benchmark():
    from foreplan.search_rates import check_row as compare

    table, model, training, machine = tiny_table()
    compare(table, model, training, machine, 3)
    with pytest.raises(CheckFailed, match="a bug of ours"):
        compare(table, model, replace(training, batch=24), machine, 3)


def test_placements_that_differ_are_axes_of_their_own():
    machine = load_machine("dgx-1-v100")
    space = machine_space(load_model("mlp"), Training(batch=8), machine)
    seats = {s.workers: s.axes["placement"] for s in space.stripes}
    assert seats[1] == ((0,),)
    assert seats[8] == ((0, 1, 2, 3, 4, 5, 6, 7), (0, 3, 2, 1, 5, 6, 7, 4))
