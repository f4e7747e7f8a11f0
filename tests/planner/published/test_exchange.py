"""Exchanges of published runs: bytes over the rates of wires, NICs and hosts, for any ranks."""

import pytest

from planner.plan import Plan, Training
from planner.published.cases import Case
from planner.published.exchange import HOST_BYTES_PER_S, exchange_s, rates

LARGE = 1e12
"""Bytes at which hops take no time."""


def run(system, workers, algorithm="ring"):
    plan = Plan(
        workers=workers,
        microbatch=1,
        placement=tuple(range(workers)),
        algorithm=algorithm,
        bucket_bytes=1,
        overlap=True,
    )
    return Case(
        model="lenet-5",
        device="v100-sxm2-32g",
        system=system,
        training=Training(batch=workers),
        plan=plan,
        stack="tensorflow-2",
    )


def test_a_ring_in_a_node_takes_all_wires_of_a_device():
    for system, gigabytes in (("dgx-1-v100", 150), ("dgx-2", 150), ("dgx-a100-80g", 300)):
        case = run(system, 8)
        share = rates(case).device / (gigabytes * 1e9)
        assert share in (pytest.approx(0.48), pytest.approx(0.77))
        assert exchange_s(case, LARGE) == pytest.approx(1.75 * LARGE / rates(case).device, rel=1e-3)


def test_rings_across_nodes_take_all_nics():
    one, several = run("dgx-2", 16), run("dgx-2:4", 64)
    assert rates(several).node == pytest.approx(8 * 12.5e9 * 0.64)
    expected = 2 * 63 / 64 * LARGE / rates(several).node
    assert exchange_s(several, LARGE) == pytest.approx(expected, rel=1e-3)
    assert exchange_s(several, LARGE) > exchange_s(one, LARGE)


def test_servers_on_a_host_serve_its_devices_one_after_the_other():
    four, eight = (run("aws-p2-8xlarge", n, "star") for n in (4, 8))
    assert exchange_s(eight, LARGE) == pytest.approx(2 * exchange_s(four, LARGE), rel=1e-3)
    assert exchange_s(four, LARGE) == pytest.approx(8 * LARGE / HOST_BYTES_PER_S, rel=1e-3)


def test_a_node_sends_and_gets_all_but_its_own_part_of_sharded_servers():
    two, eight = (run(f"aws-p2-8xlarge:{n}", 8 * n, "star") for n in (2, 8))
    inside = exchange_s(run("aws-p2-8xlarge", 8, "star"), LARGE)
    across = [exchange_s(case, LARGE) - inside for case in (two, eight)]
    assert across[1] / across[0] == pytest.approx((7 / 8) / (1 / 2), rel=1e-3)


@pytest.mark.parametrize("algorithm", ["ring", "star", "sharded_star"])
def test_small_exchanges_cost_a_launch_and_their_hops(algorithm):
    few, many = run("dgx-2", 2, algorithm), run("dgx-2:8", 128, algorithm)
    assert 2e-5 < exchange_s(few, 1) < exchange_s(many, 1) < 1e-3
    assert exchange_s(few, 2e6) > exchange_s(few, 1e6)


def test_a_mesh_is_used_less_evenly_than_a_switch():
    assert rates(run("dgx-2", 8)).device > rates(run("dgx-1-v100", 8)).device
