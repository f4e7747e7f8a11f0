"""This machine's cluster: equal cores, all joined, priced by what was measured."""

import os

import pytest

from hwprofiles.calibration import Calibration, OpSample, TransferSample
from hwprofiles.errors import ProfileError
from hwprofiles.grade import Grade
from hwprofiles.local import LocalFacts, local_cluster, local_facts

FACTS = LocalFacts(cpu_model="CPU", cpus=(0, 2, 1, 3), physical_cores=2, memory_bytes=1000)


def op(signature, flop, moved_bytes, median_s, dtype="float32"):
    return OpSample(
        signature=signature,
        op_class="linear_forward",
        dtype=dtype,
        flop=flop,
        moved_bytes=moved_bytes,
        median_s=median_s,
        iqr_s=0.0,
        repeats=3,
    )


CALIBRATION = Calibration(
    ops={
        "fast": op("fast", 4 * 10**9, 1000, 1.0),
        "slow": op("slow", 10**9, 10**6, 1.0),
        "copy": op("copy", 0, 2 * 10**6, 1.0, "float64"),
    },
    transfers=(
        TransferSample(payload_bytes=2**16, median_s=1e-5, iqr_s=0.0),
        TransferSample(payload_bytes=2**20, median_s=1e-4, iqr_s=0.0),
    ),
    scalars={"launch_overhead_s": 3e-6},
)


def test_every_core_reaches_every_other_over_one_measured_link():
    cluster = local_cluster(4, CALIBRATION, FACTS)
    assert len(cluster.links) == 4 * 3
    for src in range(4):
        for dst in range(4):
            route = cluster.route(src, dst)
            assert len(route.links) == (src != dst)
    assert route.links == ()
    lane = cluster.route(1, 3)
    assert lane.transfer_s(2.0**20) == pytest.approx(1e-4)
    assert lane.links[0].grade is Grade.MEASURED


def test_a_core_has_the_best_measured_rates_and_its_share_of_memory():
    core = local_cluster(4, CALIBRATION, FACTS).devices[0]
    assert (core.kind, core.transfers_hold_compute) == ("cpu", True)
    assert core.memory_bytes == 250
    assert core.peak_flop_per_s == {"float32": 4e9}
    assert core.memory_bytes_per_s == 2e6
    assert core.launch_overhead_s == 3e-6
    assert core.curve("linear_forward", "float32").grade is Grade.FITTED


def test_one_worker_needs_no_transfer():
    alone = Calibration(ops=CALIBRATION.ops)
    assert local_cluster(1, alone, FACTS).links == ()
    with pytest.raises(ProfileError, match="two measured sizes are needed"):
        local_cluster(2, alone, FACTS)


def test_a_machine_without_a_measurement_is_refused():
    with pytest.raises(ProfileError, match="no op is measured on this machine; calibrate"):
        local_cluster(1, Calibration(), FACTS)


@pytest.mark.parametrize("workers", [0, 5])
def test_more_workers_than_cores_are_refused(workers):
    with pytest.raises(ProfileError, match=f"expected 1 to 4 workers on 4 cores, got {workers}"):
        local_cluster(workers, CALIBRATION, FACTS)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_only_the_cores_this_process_may_use_count():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        facts = local_facts()
    finally:
        os.sched_setaffinity(0, before)
    assert facts.cpus == (min(before),)
    assert (facts.physical_cores, facts.logical_cores) == (1, 1)


def test_facts_name_the_cpu_and_every_usable_core_once():
    facts = local_facts()
    assert facts.cpu_model
    assert len(set(facts.cpus)) == facts.logical_cores >= facts.physical_cores >= 1
    assert facts.memory_bytes > 2**28


def test_siblings_of_a_core_come_after_one_of_each_core(monkeypatch):
    monkeypatch.setattr("hwprofiles.local._core_of", lambda cpu: str(cpu // 2))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 5}, raising=False)
    facts = local_facts()
    assert facts.cpus == (0, 2, 5, 1, 3)
    assert facts.physical_cores == 3
