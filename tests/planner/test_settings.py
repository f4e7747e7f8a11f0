"""Settings: what they change, what they leave alone, and what they refuse."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foreplan
from hwprofiles.calibration import OpSample
from hwprofiles.clusters import load_cluster
from hwprofiles.costs import CostBook
from hwprofiles.device import OpCurve
from hwprofiles.errors import PlanError
from hwprofiles.grade import Grade
from hwprofiles.link import Link
from planner.cost import estimate
from planner.machine import Machine
from planner.model import load_model
from planner.opsets import plan_calls
from planner.plan import Training
from planner.records import cluster_record
from planner.settings import change, parse_setting, setting_names, wires_of
from planner.whatif import what_if
from tests.planner_cases import cases, cluster_of, device, link, machine_of

RANDOM = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
OP = OpSample(
    signature="tanh.forward(8)float32",
    op_class="tanh_forward",
    dtype="float32",
    flop=80_000,
    moved_bytes=64,
    median_s=3e-6,
    iqr_s=1e-7,
    repeats=9,
)


def records_of(machine: Machine):
    return {key: cluster_record(machine, key, {OP.signature}) for key in machine.clusters}


def shipped(name: str):
    cluster = load_cluster(name)
    return records_of(machine_of(cluster))


def measured_machine() -> Machine:
    curve = OpCurve(flop_per_s=3e10, bytes_per_s=9e9, overhead_s=1e-7, grade=Grade.FITTED)
    kind = replace(device(holds=True), curves={"tanh_forward/float32": curve})
    wire = Link.from_samples("pipe", [(65536.0, 2e-5), (131072.0, 3e-5)], source="here")
    cluster = cluster_of(kind, 2, "mesh", wire)
    book = CostBook(device=kind, ops={OP.signature: OP})
    return replace(machine_of(cluster), cost_books={0: {kind.name: book}})


def apply(records, *texts):
    return change(records, [parse_setting(text, records.values()) for text in texts])


def machine_from(records, machine: Machine) -> Machine:
    """The machine of changed records, as a plan file rebuilds it."""
    from tests.planner.test_whatif import bare_file

    return replace(bare_file(), cluster=machine.name, machine=records).to_machine()


@pytest.mark.parametrize("name", setting_names(records_of(measured_machine()).values()))
def test_a_factor_of_one_changes_nothing(name):
    records = records_of(measured_machine())
    assert apply(records, f"{name}=1x") == records
    assert apply(records, f"{name}=2x") != records  # so the test can fail


FASTER = st.sampled_from(
    [
        "bandwidth=2x",
        "intra.bandwidth=100x",
        "latency=0.5x",
        "link.wire.latency=0s",
        "device.speed=3x",
        "device.flops=2x",
        "device.launch=0.1x",
        "device.memory-bandwidth=1.01x",
    ]
)


def check_faster(case, texts):
    """Faster hardware raises neither closed form nor bound."""
    slow = records_of(case.machine)
    fast = machine_from(apply(slow, *texts), case.machine)
    workers = case.plan.workers
    before, after = (
        estimate(case.model, case.training, case.plan, m.cluster(workers), m.books(workers))
        for m in (case.machine, fast)
    )
    assert after.closed_form_ps <= before.closed_form_ps
    assert after.bound_ps <= before.bound_ps


@given(case=cases(equal=True), texts=st.lists(FASTER, min_size=1, max_size=3))
@RANDOM
def test_faster_hardware_raises_neither_closed_form_nor_bound(case, texts):
    check_faster(case, texts)


@given(case=cases(equal=True))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_slower_hardware_is_seen_by_that_check(case):
    with pytest.raises(AssertionError):
        check_faster(case, ["device.speed=0.1x", "bandwidth=0.1x"])


def test_what_is_changed_is_no_longer_measured_and_the_rest_still_is():
    records = records_of(measured_machine())
    faster = apply(records, "device.flops=2x")[0]
    assert [op.grade for op in faster.ops["cpu core"]] == [Grade.DATASHEET]
    assert faster.device_kinds[0].curves["tanh_forward/float32"].grade is Grade.DATASHEET
    assert [x.grade for x in faster.links] == [Grade.MEASURED]
    wider = apply(records, "bandwidth=2x")[0]
    assert [x.grade for x in wider.links] == [Grade.DATASHEET]
    assert wider.ops == records[0].ops
    # bound by arithmetic: more memory bandwidth leaves the op as it was measured
    assert apply(records, "device.memory-bandwidth=2x")[0].ops == records[0].ops


def test_a_measured_op_changes_as_its_curve_says():
    records = records_of(measured_machine())
    (op,) = apply(records, "device.flops=2x")[0].ops["cpu core"]
    curve_s = [1e-7 + 80_000 / rate for rate in (3e10, 6e10)]
    assert op.median_s == pytest.approx(3e-6 * curve_s[1] / curve_s[0])
    (op,) = apply(records, "device.speed=4x")[0].ops["cpu core"]
    assert op.median_s == 3e-6 / 4


def test_amounts_are_read_in_their_unit():
    records = records_of(machine_of(cluster_of(device(), 2, "mesh", link(cap=2e9))))
    (wire,) = apply(records, "bandwidth=32Gb/s", "latency=5us")[0].links
    assert wire.bandwidth_bytes_per_s == 4e9
    assert wire.flow_cap_bytes_per_s == 8e9
    assert wire.overheads[0] == (0.0, 5e-6)
    (kind,) = apply(records, "device.memory=80GB", "device.launch=2us")[0].device_kinds
    assert (kind.memory_bytes, kind.launch_overhead_s) == (80 * 10**9, 2e-6)


def test_tiers_are_told_apart_where_there_are_nodes():
    records = shipped("dgx-1-v100:2")
    wires = wires_of(apply(records, "inter.bandwidth=2x")[0])
    before = wires_of(records[0])
    for new, old in zip(wires, before, strict=True):
        factor = new.link.bandwidth_bytes_per_s / old.link.bandwidth_bytes_per_s
        assert factor == (2 if "leaf" in f"{old.start}{old.end}" else 1)
    assert {w.link.name for w in before if w.tier == "inter"} == {"infiniband-edr-100g"}
    assert "inter.bandwidth" not in setting_names(shipped("v100-quad").values())
    named = apply(records, "link.2 x qpi-9.6.latency=3us")[0]
    assert sum(x.overheads == ((0.0, 3e-6),) for x in named.links) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bandwith=2x", ["did you mean bandwidth?", "known: bandwidth, latency, intra.bandwidth"]),
        ("bandwidth", ["expected NAME=VALUE", "known: "]),
        ("inter.bandwidth=2x", ["did you mean intra.bandwidth"]),
        ("link.pipe.memory=2x", ["link.pipe.bandwidth"]),
        ("bandwidth=2", ["a factor such as 2x", "GB/s"]),
        ("bandwidth=-2x", ["a factor such as 2x"]),
        ("bandwidth=0x", ["above 0", "'0x'"]),
        ("bandwidth=0GB/s", ["more than 0"]),
        ("bandwidth=25GB", ["2x, or a number with MB/s,", "; got '25GB'"]),
        ("latency=5", ["2x, or a number with ns, us,", "; got '5'"]),
        ("device.flops=2TFLOP", ["flops takes a factor", "'2TFLOP'"]),
        ("device.memory=lots", ["2x, or a number with B,", "; got 'lots'"]),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_the_names(text, says):
    with pytest.raises(PlanError) as error:
        parse_setting(text, records_of(measured_machine()).values())
    for part in (f"--set {text!r}: ", *says):
        assert part in str(error.value)


EFFICIENT = "v100-quad"
"""Its devices reach what published runs reached; kernels take a time beside their work."""


def check_speed(text, factor):
    """Every op of a plan takes ``1 / factor`` of its time."""
    file = efficient_file()
    plan = file.plans[0].plan
    new = replace(file, machine=apply(file.machine, text))
    calls = plan_calls(load_model(file.model), file.training, plan).values()
    assert len(calls) > 10
    for call in calls:
        before, after = (
            next(iter(f.to_machine().books(plan.workers).values())).cost(call).seconds
            for f in (file, new)
        )
        assert after == pytest.approx(before / factor, rel=1e-12)


@cache
def efficient_file():
    return foreplan.plan("lenet-5", EFFICIENT, Training(batch=64), top=1)


def test_speed_divides_the_time_of_every_op_its_kernel_included():
    (device,) = next(iter(efficient_file().machine.values())).device_kinds
    assert device.efficiency.kernel_s > 0
    check_speed("device.speed=2x", 2)
    with pytest.raises(AssertionError):
        check_speed("device.flops=2x", 2)  # a kernel launched is not computed faster


def test_launch_is_what_a_kernel_takes_beside_its_work():
    known, faster, named = (
        next(iter(apply(efficient_file().machine, *texts).values())).device_kinds[0].efficiency
        for texts in ([], ["device.launch=0.5x"], ["device.launch=1us"])
    )
    assert faster.kernel_s == known.kernel_s / 2
    assert faster.elementwise_kernel_s == known.elementwise_kernel_s / 2
    assert named.kernel_s == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("device.speed=1.1x", "extrapolated"),
        ("device.memory-bandwidth=0.9x", "extrapolated"),
        ("device.memory=2x", "fitted"),
        ("device.speed=1x", "fitted"),
    ],
)
def test_what_published_runs_reach_is_not_said_of_another_device(text, grade):
    _, new = what_if(efficient_file(), [text])
    assert new.plans[0].prediction.grade == grade
