"""Plans whose exchange has lanes of its own, or a switch that adds."""

from dataclasses import replace

import numpy as np
import pytest

from foreplan.machines import load_machine
from hwprofiles.errors import PlanError
from hwprofiles.units import PS_PER_S
from planner.cost import estimate
from planner.layout import memory_bytes
from planner.lower import lower
from planner.memory import plan_arena_bytes
from planner.model import load_model
from planner.plan import Plan, Training, Verdict, verdict
from planner.reprice import Lowered
from planner.search import search
from planner.shapes import meets, offered, shaped_names
from planner.switching import SWITCH
from sim.checks import check_graph
from sim.heap_engine import simulate
from tests.planner_cases import case, cluster_of, device, link, machine_of

NODE = "dgx-h100"
TRAINING = Training(batch=64)


def meshed(algorithm: str, **fields):
    """Four workers, a wire for each pair, whose gradient takes long to exchange."""
    machine = machine_of(cluster_of(device(), 4, "mesh", link(bandwidth=1e7)))
    return case(load_model("lenet-5"), machine=machine, workers=4, algorithm=algorithm, **fields)


def switched(name: str = "in_network", placement: tuple[int, ...] = tuple(range(8)), **fields):
    workers = len(placement)
    return Plan(
        workers=workers,
        microbatch=TRAINING.batch // workers,
        placement=placement,
        algorithm=name,
        bucket_bytes=1 << 30,
        overlap=False,
        **fields,
    )


def test_two_rings_at_once_take_about_half_the_time_of_one():
    """Each ring sends half the array over links of its own, and adds in turn."""
    exchange_s = {}
    for name in ("ring", "multi_ring:2"):
        program = meshed(name).lower()
        times, sent = simulate(program.graph), program.graph.route >= 0
        exchange_s[name] = (times.end_ps[sent].max() - times.start_ps[sent].min()) / PS_PER_S
    assert exchange_s["multi_ring:2"] == pytest.approx(exchange_s["ring"] / 2, rel=0.01)


def test_each_channel_has_lanes_and_a_landing_register_of_its_own():
    program, one = meshed("multi_ring:2", overlap=True).lower(), meshed("ring").lower()
    assert len(program.graph.lane_device) == len(one.graph.lane_device) + 2 * 4
    names = {name for name in program.register_names if name.startswith("landing")}
    assert {f"landing.0.1@{rank}" for rank in range(4)} < names
    check_graph(program.graph)
    program.check_sharing()
    places = [program.layouts[0].places[name] for name in ("landing.0", "landing.0.1")]
    assert abs(places[0].first_byte - places[1].first_byte) >= program.registers[0][-1].slot_bytes


@pytest.mark.parametrize("slots", [1, 2])
def test_memory_and_closed_form_hold_for_channels(slots):
    c = meshed("multi_ring:2", landing_slots=slots, bucket_bytes=4096, overlap=True)
    program = c.lower()
    needed = plan_arena_bytes(c.model, c.training, c.plan)
    assert needed == max(program.arena_bytes(rank) for rank in range(4))
    assert needed == sum(memory_bytes(c.model, c.training, c.plan).values())
    bound_ps = estimate(c.model, c.training, c.plan, c.cluster, c.books).bound_ps
    assert 0.9 * (simulated := simulate(program.graph).makespan_ps) < bound_ps <= simulated


def node_program(plan: Plan):
    machine = load_machine(NODE)
    books = machine.books(plan.workers)
    return lower(load_model("lenet-5"), TRAINING, plan, machine.cluster(plan.workers), books)


def test_a_plan_that_adds_in_the_switch_collects_and_spreads_every_part():
    """Per rank and piece one collect, to it, and one spread, from it; nothing is added by ranks."""
    program = node_program(switched("in_network:2"))
    flows = [info for info in program.tasks if info.phase == "exchange"]
    assert len(flows) == 2 * 8 * 2
    assert sorted(flow.src for flow in flows).count(SWITCH) == 8 * 2
    assert {flow.ranks for flow in flows} == {tuple(range(8))}
    assert not any(name.startswith("landing") for name in program.register_names)
    carried = np.zeros(len(program.graph.link_bytes_per_s))
    for task in np.flatnonzero(program.graph.route >= 0).tolist():
        links = program.graph.row("route", int(program.graph.route[task]))
        carried[links] += program.graph.payload_bytes[task]
    whole = 4 * load_model("lenet-5").parameter_count
    np.testing.assert_allclose(carried[carried > 0], whole * 9 / 8, rtol=0.001)
    labels = {program.label(task) for task in range(program.graph.tasks)}
    assert any(label.endswith("@switch->3") for label in labels)


def test_a_bound_of_a_plan_that_adds_in_the_switch_is_below_its_simulation_and_near():
    machine, plan, model = load_machine(NODE), switched(), load_model("alexnet")
    books, cluster = machine.books(8), machine.cluster(8)
    training = replace(TRAINING, batch=256)
    plan = replace(plan, microbatch=32)
    bound_ps = estimate(model, training, plan, cluster, books).bound_ps
    lowered = Lowered.of(model, training, plan, machine)
    simulated_ps = simulate(lowered.program.graph).makespan_ps
    assert 0.9 * simulated_ps < bound_ps <= simulated_ps
    assert lowered.on(machine).sha256() == lowered.program.graph.sha256()


def test_the_search_takes_the_switch_in_a_node_and_nothing_of_it_across_nodes():
    machine, model = load_machine(f"{NODE}:2"), load_model("alexnet")
    training = Training(batch=512)
    fixed = {"workers": 4, "microbatch": 128, "overlap": False, "bucket_bytes": 1 << 30}
    result = search(model, training, machine, top=1, fixed=fixed)
    assert result.best[0].plan.algorithm == "in_network"
    tally = result.table.tally()
    plan = result.table.plan(tally.examples[Verdict.NO_SUCH_SWITCH])
    assert (plan.algorithm, plan.placement) == ("in_network", (0, 8, 1, 9))
    assert tally.counts[Verdict.NO_SUCH_SWITCH] == 4  # by numbers of slots


@pytest.mark.parametrize(
    ("spec", "placement", "found"),
    [
        (NODE, tuple(range(8)), Verdict.FITS),
        (f"{NODE}:2", (8, 9, 10, 11), Verdict.FITS),
        (f"{NODE}:2", (0, 8), Verdict.NO_SUCH_SWITCH),
        ("dgx-a100-80g", (0, 1), Verdict.NO_SUCH_SWITCH),  # its switches do not add
    ],
)
def test_the_switch_is_asked_for_where_the_workers_sit(spec, placement, found):
    cluster = load_machine(spec).cluster(len(placement))
    plan = switched(placement=placement)
    assert verdict(load_model("lenet-5"), TRAINING, plan, cluster) is found
    assert meets("ring", cluster, placement)


def test_rings_at_once_are_tried_where_devices_have_lanes_and_several_links():
    found = {spec: shaped_names(load_machine(spec).cluster(2)) for spec in ("mi300x-8", NODE)}
    assert [name for name in found["mi300x-8"] if "ring" in name][:2] == [
        "multi_ring:2",
        "multi_ring:4",
    ]
    assert not any("ring" in name for name in found[NODE])
    holding = cluster_of(device(holds=True), 4, "mesh", link())
    assert shaped_names(holding) == ()


def test_more_rings_than_there_are_is_refused():
    with pytest.raises(PlanError, match="expected 1 to 2 channels on 4 ranks, got 3"):
        meshed("multi_ring:3").lower()


def test_the_search_takes_a_ring_in_pieces_where_additions_hide_behind_transfers():
    model, training, machine = load_model("alexnet"), Training(batch=96), load_machine("k40-quad")
    fixed = {"workers": 3, "microbatch": 32, "overlap": False, "bucket_bytes": 1 << 30}
    plain, found = (
        search(model, training, machine, top=1, fixed=fixed | more).best[0]
        for more in ({"algorithm": "ring"}, {})
    )
    assert (found.plan.algorithm, found.plan.landing_slots) == ("pipelined_ring:2", 2)
    assert found.prediction.step_s < plain.prediction.step_s
    assert "pipelined_ring:2" not in offered(machine.cluster(2), 2)
    assert "pipelined_ring:2" not in offered(load_machine("dgx-2").cluster(16), 16)


def test_several_rings_in_pieces_are_tried_and_win_where_devices_have_direct_links():
    model, training, machine = load_model("alexnet"), Training(batch=160), load_machine("mi300x-8")
    fixed = {"workers": 5, "microbatch": 32, "overlap": False, "bucket_bytes": 1 << 30}
    (found,) = search(model, training, machine, top=1, fixed=fixed).best
    assert (found.plan.algorithm, found.plan.landing_slots) == ("multi_ring:4x2", 2)
    over_nodes = offered(load_machine("mi300x-8:2").cluster(16), 16)
    assert "multi_ring:8x1x8" in over_nodes
    assert not any(name.endswith("x2") for name in over_nodes)
