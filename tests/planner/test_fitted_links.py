"""Links as fitted stacks use them: a transfer is a step of the library's ring, for every part."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreplan.machines import load_machine
from hwprofiles.clusters import load_cluster
from hwprofiles.grade import Grade
from hwprofiles.link import Link
from hwprofiles.transport import SHARED, shipped
from planner.collectives import ring
from planner.collectives.base import Prices
from planner.cost import estimate
from planner.fitted_links import fitted_link, fitted_links
from planner.lower import lower
from planner.model import load_model
from planner.piece_prices import transfer_prices
from planner.plan import Plan, Training
from planner.predict import predict
from planner.transport_groups import group_of, network_lane
from planner.transport_law import ways
from sim.engine import simulate

BYTES = st.integers(1, 1 << 32)
SWITCHED = ("dgx-2", "dgx-a100-80g", "dgx-h100", "dgx-b200")
"""Systems in which one port carries all that a rank sends, as a plan's one ring does."""


def stepped_s(way, constants):
    """A way without what is paid once a call: launches and the ramp."""
    hops = tuple((name, n) for name, n in way.latencies if not name.endswith("launch"))
    return replace(way, latencies=hops, ramp=None).time_s(constants)


@cache
def fitted(system):
    return fitted_links(load_cluster(system))[0]


@given(st.sampled_from(SWITCHED), st.integers(2, 8), st.integers(1, 1 << 28))
@settings(max_examples=20, deadline=None)
def test_a_plans_ring_takes_what_the_librarys_does_without_launch_and_ramp(system, ranks, chunk):
    cluster, elements = fitted(system), chunk * ranks
    prices = Prices(
        ranks=ranks,
        transfer_ps=transfer_prices(tuple(range(ranks)), cluster, "float32"),
        add_ps=lambda rank, n: 0,
        holds_compute=False,
    )
    found = ways("all_reduce", 4.0 * elements, group_of(system, ranks), "ring")
    expected_s = min(stepped_s(way, shipped()) for way in found)
    rounded_ps = 4 * ranks  # overhead and bytes of every step are rounded up
    assert 0 <= ring.cost_ps(elements, prices) - expected_s * 1e12 <= rounded_ps + 1


@given(st.sampled_from(("dgx-a100-80g", "azure-nd96isr-h100-v5", "aws-p4d-24xlarge")), BYTES)
@settings(max_examples=30, deadline=None)
def test_between_nodes_a_transfer_takes_one_hop_of_the_network(system, size):
    cluster, constants = fitted(f"{system}:2"), shipped()
    stack = "efa" if system.startswith("aws") else "infiniband"
    share, rate = constants[f"{stack}.ring_share"], network_lane(system).port_bytes_per_s
    laws = {"ll": ("hop", 0.5), "ll128": ("hop", 120 / 128), "simple": ("simple_hop", 1.0)}
    expected_s = min(
        constants[f"{stack}.{hop}"] + size / (rate * share * data) for hop, data in laws.values()
    )
    switches_s = cluster.route(0, 8).transfer_s(float(size)) - expected_s
    assert -1e-12 < switches_s < 1e-6  # a switch of the network adds 0.2 us


@given(
    st.lists(st.tuples(st.floats(0, 1e-4), st.floats(0.01, 1)), min_size=1, max_size=3),
    BYTES,
    BYTES,
)
def test_a_fitted_link_is_the_quickest_protocol(laws, one, other):
    wire = Link(name="wire", bandwidth_bytes_per_s=1e9, overheads=((0.0, 1e-6),))
    hops = {str(i): hop for i, (hop, _) in enumerate(laws)}
    shares = {str(i): share for i, (_, share) in enumerate(laws)}
    found = fitted_link(wire, hops, shares)

    def time_s(size):
        return found.overhead_s(float(size)) + size / found.bandwidth_bytes_per_s

    for size in (one, other):
        expected_s = min(hop + size / (1e9 * share) for hop, share in laws)
        assert time_s(size) == pytest.approx(expected_s, rel=1e-6)
    assert all(a[1] <= b[1] for a, b in pairwise(found.overheads))


def test_links_without_a_fitted_stack_stay_those_of_the_datasheet():
    for system in ("tpu-v3:4x4", "v100-quad", "mi300x-8"):
        before, after = load_cluster(system), fitted(system)
        for old, new in zip(before.links, after.links, strict=True):
            assert new == old or new.grade is Grade.FITTED
    assert fitted_links(load_cluster("tpu-v3:4x4"))[1] == ()
    assert load_cluster("tpu-v3:4x4").links == fitted("tpu-v3:4x4").links


def test_software_says_whether_links_are_the_librarys_or_the_datasheets():
    known, plain = (load_machine("dgx-a100-80g:2", name) for name in ("pytorch-containers", ""))
    assert {link.grade for link in known.cluster(2).links} == {Grade.FITTED}
    assert {link.grade for link in plain.cluster(2).links} == {Grade.DATASHEET}
    assert known.evidence
    assert {stack.name for stack in known.evidence.stacks} == {"nvlink-3", "infiniband"}
    for stack in known.evidence.stacks:
        assert stack.interval_frac[0] < 1 < stack.interval_frac[1]
        assert stack.rows
        assert stack.links
    assert plain.evidence is None
    assert SHARED not in {stack.name for stack in known.evidence.stacks}


def plan(workers, **changes):
    values = {"algorithm": "ring", "bucket_bytes": 1 << 20, "overlap": True, **changes}
    return Plan(workers=workers, microbatch=4, placement=tuple(range(workers)), **values)


@pytest.mark.parametrize("system", ["dgx-1-v100:2", "dgx-h100:2", "k40-quad"])
@pytest.mark.parametrize("algorithm", ["ring", "double_binary_tree@40000@ring"])
def test_bound_closed_form_and_simulation_see_one_link(system, algorithm):
    machine, model = load_machine(system, "pytorch-containers"), load_model("lenet-5")
    workers = 4 if system == "k40-quad" else 16
    chosen = plan(workers, algorithm=algorithm, bucket_bytes=40_000)
    training = Training(batch=4 * workers)
    found, _, timeline = predict(model, training, chosen, machine)
    closed = estimate(model, training, chosen, machine.cluster(0), machine.books(0))
    assert timeline.makespan_ps >= closed.closed_form_ps >= closed.bound_ps > 0
    assert found.grade == ("extrapolated" if "h100" in system else "fitted")  # by its devices


def test_faster_constants_make_no_plan_slower(monkeypatch):
    model, training, chosen = load_model("lenet-5"), Training(batch=64), plan(16)
    machine = load_machine("dgx-a100-80g:2", "pytorch-containers")

    def closed_ps():
        cluster = fitted_links(load_cluster("dgx-a100-80g:2"))[0]
        books = machine.books(16)
        found = estimate(model, training, chosen, cluster, books)
        simulated = simulate(lower(model, training, chosen, cluster, books).graph)
        return found.closed_form_ps, simulated.makespan_ps

    slow = closed_ps()
    faster = {k: min(1.0, v * 1.5) if k.endswith("share") else v / 2 for k, v in shipped().items()}
    monkeypatch.setattr("planner.fitted_links.shipped", lambda: faster)
    assert all(quick < before for quick, before in zip(closed_ps(), slow, strict=True))
