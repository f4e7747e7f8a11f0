"""Devices without rows: the constants of their neighbour, physics of their own, a wide interval."""

from math import log
from pathlib import Path

import pytest

from foreplan.machines import informed_machine
from hwprofiles.efficiency import constants, generation_of, is_fitted, memory_from, peak_from
from hwprofiles.efficiency import with_efficiency as efficient
from hwprofiles.parts import load_device, part_names
from planner.model import load_model
from planner.plan import Plan, Training
from planner.predict import predict
from planner.published.assess import assess
from planner.published.fitted import USUAL
from planner.published.rows import UNSEEN, read_rows
from planner.published.spread import TO_80, shipped

BLOCKS = constants()["generations"]
PRODUCT = {"work_class": "linear", "product": (1 << 14, 1 << 14, 1 << 12)}


def reached(name, dtype="float16", table=None):
    """Return what a device reaches of its matrix unit's rate in a large product."""
    device = efficient(load_device(name), USUAL, table)
    whole = device.shape_frac(dtype, "linear", 0, PRODUCT["product"])
    peak = device.peak_flop_per_s[f"{dtype}_matrix"] * whole
    return device.curve("linear", dtype, **PRODUCT).flop_per_s / peak


def test_every_device_is_of_one_generation_whose_constants_are_found():
    for name in part_names("device"):
        assert sum(name in block["devices"] for block in BLOCKS.values()) == 1, name
        generation = generation_of(name)
        assert memory_from(BLOCKS, generation) in BLOCKS
        assert peak_from(BLOCKS, generation, "bfloat16" if "tpu" in name else "float32")


def test_a_fraction_of_the_peak_is_that_of_the_neighbour():
    assert reached("h100-sxm5-80g") == pytest.approx(reached("a100-sxm4-80g"))
    assert reached("rtx-4090") == pytest.approx(reached("rtx-3090"))
    assert reached("mi100") == pytest.approx(reached("a100-sxm4-80g"))  # of no measured power


def test_a_board_of_less_power_for_an_operation_keeps_a_lower_clock():
    """Against the cube law written out here, and a seeded fault: a linear one."""
    for name, whole in (("a100-pcie-40g", "a100-sxm4-80g"), ("h100-pcie-80g", "h100-sxm5-80g")):
        own, its = load_device(name), load_device(whole)
        left = own.power_w / its.power_w
        left *= its.peak_flop_per_s["float32"] / own.peak_flop_per_s["float32"]
        assert left < 1
        assert (reached(name) / reached(whole)) ** 3 == pytest.approx(left)
        assert reached(name) / reached(whole) != pytest.approx(left)


def test_a_unit_that_is_held_back_reaches_twice_the_share_of_what_is_left():
    """A generation without rows whose sums in float32 are half as fast as its neighbour's."""
    bare = {key: BLOCKS["ampere-geforce"][key] for key in ("devices", "like", "sums")}
    table = {
        **constants(),
        "generations": {**BLOCKS, "ampere-geforce": {**bare, "source": "0 rows"}},
    }
    assert reached("rtx-3090", table=table) == pytest.approx(2 * reached("a100-sxm4-80g"))
    assert reached("rtx-a6000", table=table) == pytest.approx(reached("a100-sxm4-80g"))


def test_constants_of_another_generation_say_so():
    for name in ("h100-sxm5-80g", "rtx-4090", "mi250x-gcd", "gaudi-2", "epyc-7742"):
        generation = generation_of(name)
        assert not is_fitted(generation)
        found = efficient(load_device(name), USUAL)
        dtype = "float32" if found.kind == "cpu" else "bfloat16"
        assert found.curve("linear", dtype, **PRODUCT).grade.label == "extrapolated"
    known = efficient(load_device("rtx-3090"), USUAL)
    assert known.curve("linear", "float16", **PRODUCT).grade.label == "fitted"
    assert known.curve("linear", "tf32", **PRODUCT).grade.label == "extrapolated"


def test_runs_that_no_fit_has_seen_lie_where_the_interval_says():
    rows = assess([r for r in read_rows(UNSEEN) if r.told["model"] == "resnet50"])
    assert all(row.covered for row in rows)
    apart = [row for row in rows if row.grade == "extrapolated"]
    assert len(apart) > 12
    held = [row.interval_s[0] <= row.published <= row.interval_s[1] for row in apart]
    assert 0.7 <= sum(held) / len(held) <= 0.9


def test_a_plan_on_devices_without_rows_has_their_grade_and_interval():
    machine = informed_machine("dgx-h100", USUAL, None)
    assert machine.evidence.without_rows == (("h100-sxm5-80g", "ampere"),)
    assert informed_machine("dgx-1-v100", USUAL, None).evidence.without_rows == ()
    training = Training(batch=8, dtype="float16")
    plan = Plan(
        workers=1, microbatch=8, placement=(0,), algorithm="none", bucket_bytes=0, overlap=False
    )
    found = predict(load_model("resnet-18"), training, plan, machine)[0]
    assert found.grade == "extrapolated"
    deviation = shipped().interval["extrapolated"]
    assert log(found.interval_s[1] / found.step_s) == pytest.approx(TO_80 * deviation)
    assert deviation > shipped().interval["unseen"]


def test_the_table_of_unseen_runs_has_its_sources():
    text = Path(UNSEEN).read_text(encoding="utf-8").splitlines()[1:]
    assert all("github.com/lambdal/deeplearning-benchmark/blob/0551cb70" in line for line in text)
