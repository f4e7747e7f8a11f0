"""Plan tables: the array path is the scalar path, to the bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.cost import estimate
from planner.layout import memory_bytes
from planner.machine import Machine
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.plan import Plan, Training, Verdict
from planner.table import VERDICTS, PlanTable, price
from tests.planner_cases import (
    ALGORITHMS,
    case,
    cluster_of,
    device,
    link,
    machine_of,
    machines,
    models,
    small_machine,
    tiny_convnet,
)


@st.composite
def plan_lists(draw: st.DrawFn, model: ModelGraph, devices: int) -> list[Plan]:
    """Plans that differ in every field; some divide no batch, some ask for too many workers."""
    whole = model.parameter_count * DTYPE_BYTES["float32"]
    found = []
    for _ in range(draw(st.integers(1, 12))):
        workers = draw(st.integers(1, devices + 1))
        seats = draw(st.permutations(range(max(workers, devices))))
        found.append(
            Plan(
                workers=workers,
                microbatch=draw(st.integers(1, 5)),
                placement=tuple(seats[:workers]),
                algorithm=draw(st.sampled_from(ALGORITHMS)) if workers > 1 else "none",
                bucket_bytes=draw(st.sampled_from([4, max(4, whole // 3), whole])),
                overlap=draw(st.booleans()) and workers > 1,
                input_slots=draw(st.integers(1, 3)),
                activation_slots=draw(st.integers(1, 3)),
                landing_slots=draw(st.integers(1, 3)),
            )
        )
    return found


def check_table(table: PlanTable, model: ModelGraph, training: Training, machine: Machine) -> None:
    fits = set(table.feasible.tolist())
    for i, plan in enumerate(table.plans):
        if i not in fits:
            assert table.bound_ps[i] == table.closed_form_ps[i] == 0
            continue
        cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
        scalar = estimate(model, training, plan, cluster, books)
        assert table.bound_ps[i] == scalar.bound_ps, plan
        assert table.closed_form_ps[i] == scalar.closed_form_ps, plan
        assert table.arena_bytes[i] == sum(memory_bytes(model, training, plan).values()), plan


@given(data=st.data(), batch=st.sampled_from([12, 24, 60]))
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_row_that_fits_has_the_price_and_memory_of_the_scalar_path(data, batch):
    model, machine = data.draw(models()), data.draw(machines())
    plans = data.draw(plan_lists(model, machine.devices))
    training = Training(batch=batch)
    check_table(price(model, training, plans, machine), model, training, machine)


@pytest.mark.parametrize(
    "field", ["input_slots", "activation_slots", "landing_slots", "placement", "overlap"]
)
def test_rows_that_differ_in_one_field_keep_their_own_price(field):
    wires = [link(bandwidth=1e9 * (1 + i)) for i in range(6)]
    machine = machine_of(cluster_of(device(launch_s=1e-4), 3, "mesh", wires))
    c = case(machine=machine, workers=2, algorithm="star", batch=8)
    value = {"placement": (2, 1), "overlap": True}.get(field, 3)
    plans = [c.plan, replace(c.plan, **{field: value}), c.plan]
    table = price(c.model, c.training, plans, machine)
    check_table(table, c.model, c.training, machine)
    assert table.closed_form_ps[0] == table.closed_form_ps[2]


def test_the_table_check_shows_a_price_that_is_one_picosecond_off():
    c = case(workers=2)
    table = price(c.model, c.training, [c.plan], c.machine)
    wrong = replace(table, closed_form_ps=table.closed_form_ps + 1)
    with pytest.raises(AssertionError):
        check_table(wrong, c.model, c.training, c.machine)


def verdicts(plans: list[Plan], machine: Machine, *, batch=12, model=None) -> list[Verdict]:
    table = price(model or tiny_convnet(), Training(batch=batch), plans, machine)
    assert sum(table.counts().values()) == len(plans)
    return [VERDICTS[i] for i in table.verdict.tolist()]


def test_a_batch_that_is_no_multiple_of_workers_times_microbatch_does_not_divide():
    plans = [replace(case().plan, microbatch=m) for m in (1, 2, 3, 4, 5, 6)]
    yes, no = Verdict.FITS, Verdict.DOES_NOT_DIVIDE
    assert verdicts(plans, small_machine()) == [yes, yes, yes, no, no, yes]


def test_a_microbatch_that_splits_a_norm_group_is_named_so():
    model = replace(tiny_convnet(), norm_group=2)
    plans = [replace(case().plan, microbatch=m) for m in (1, 2, 3, 6)]
    yes, no = Verdict.FITS, Verdict.SPLITS_NORM_GROUP
    assert verdicts(plans, small_machine(), model=model) == [no, yes, no, yes]


def test_more_workers_than_devices_are_too_many():
    plans = [case(workers=w).plan for w in (1, 2, 3)]
    yes, no = Verdict.FITS, Verdict.TOO_MANY_WORKERS
    assert verdicts(plans, small_machine(2)) == [yes, yes, no]


def test_an_arena_of_just_the_device_fits_and_one_byte_less_does_not():
    c = case(workers=2)
    arena = sum(memory_bytes(c.model, c.training, c.plan).values())
    yes, no = Verdict.FITS, Verdict.OUT_OF_MEMORY
    assert verdicts([c.plan], small_machine(memory_bytes=arena)) == [yes]
    assert verdicts([c.plan], small_machine(memory_bytes=arena - 1)) == [no]


def test_no_row_that_fits_is_no_error():
    c = case(workers=2)
    table = price(c.model, c.training, [replace(c.plan, microbatch=5)], c.machine)
    assert len(table.feasible) == 0
    assert not np.any(table.closed_form_ps)
