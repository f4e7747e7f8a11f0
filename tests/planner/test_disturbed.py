"""A step among stragglers, slow and failing links: how long it takes, and who waits for whom."""

from dataclasses import replace

import numpy as np
import pytest

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.errors import PlanError
from planner.disturbed import LinkEvent, Trouble, disturbed_runs, waits_s
from planner.lower import lower
from planner.model import load_model
from planner.network import flat_network
from planner.plan import Plan, Training
from sim.engine import run, simulate

WORKERS = 3


@pytest.fixture(scope="module")
def flat() -> Cluster:
    """Three machines at one switch: no way round a link."""
    return flat_network("ethernet-10g", "v100-sxm2-16g", WORKERS).cluster(WORKERS)


@pytest.fixture(scope="module")
def meshed(flat) -> Cluster:
    """The same three, joined pairwise instead."""
    (link, _) = flat.route(0, 1).links
    pairs = [(a, b, link) for a in range(WORKERS) for b in range(WORKERS) if a != b]
    return Cluster.from_edges("meshed", flat.devices, pairs)


def lowered(cluster, algorithm="ring"):
    plan = Plan(
        workers=WORKERS,
        microbatch=8,
        placement=tuple(range(WORKERS)),
        algorithm=algorithm,
        bucket_bytes=1 << 20,
        overlap=False,
    )
    books = {device.name: CostBook(device=device, ops={}) for device in cluster.devices}
    program = lower(load_model("mlp"), Training(batch=8 * WORKERS), plan, cluster, books)
    return program, plan


def runs_of(cluster, trouble=None, **more):
    return disturbed_runs(*lowered(cluster), cluster, trouble or Trouble(), **more)


def test_without_trouble_every_run_is_the_undisturbed_step(flat):
    found = runs_of(flat, runs=3)
    assert found.step_s == (found.undisturbed_s,) * 3
    assert (found.p50_s, found.p99_s, found.stopped) == (found.undisturbed_s,) * 2 + (0,)


def test_a_straggler_delays_the_step_by_what_it_is_late_and_the_others_wait_for_it(flat):
    """A ring of three: everything waits for the worker that computes twice as long."""
    program, _ = lowered(flat)
    passes = [
        task
        for task, info in enumerate(program.tasks)
        if info.ranks == (1,) and info.phase in ("load", "forward", "backward")
    ]
    late_s = program.graph.duration_ps[passes].sum() / 1e12
    found = runs_of(flat, Trouble(factors={1: 2.0}))
    grown_s = found.step_s[0] - found.undisturbed_s
    assert grown_s >= 0.99 * late_s
    waits = np.array(found.waits_s)
    assert waits[:, 1].sum() > 1.5 * late_s  # both others, for its first message or the next one's
    assert waits[1].sum() < waits[0].sum()


def test_equal_seeds_give_equal_runs_and_others_do_not(flat):
    trouble = Trouble(spread=0.3)
    one, same, other = (runs_of(flat, trouble, runs=12, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.step_s != other.step_s
    assert one.step_s[:4] == runs_of(flat, trouble, runs=4, seed=1).step_s


def test_quantiles_are_times_that_so_many_runs_do_not_exceed(flat):
    found = runs_of(flat, Trouble(spread=0.5), runs=40)
    ordered = sorted(found.step_s)
    assert (found.p50_s, found.p95_s, found.p99_s) == (ordered[19], ordered[37], ordered[39])
    assert ordered[0] >= found.undisturbed_s


@pytest.mark.parametrize("at_s", [0.0, 1e-12])
def test_a_link_that_is_slow_from_the_start_is_one_with_less_bandwidth(flat, at_s):
    """By the columns of the graph, and by the engine that changes links as it runs."""
    name = flat.links[0].name
    found = runs_of(flat, Trouble(events=(LinkEvent(wires=name, factor=0.5, at_s=at_s),)))
    graph = lowered(flat)[0].graph
    slow = replace(graph, link_bytes_per_s=graph.link_bytes_per_s / 2)
    assert found.step_s[0] == pytest.approx(run(slow, "simpy").makespan_s, rel=1e-9)
    assert found.step_s[0] > found.undisturbed_s


def test_a_failed_wire_is_gone_round_through_the_third_machine(meshed):
    found = runs_of(meshed, Trouble(events=(LinkEvent(wires="0->1", factor=0.0),)))
    assert not found.stopped
    assert found.step_s[0] >= found.undisturbed_s


def test_it_is_said_what_was_sent_round_a_failed_wire_and_how(meshed):
    """Every transfer from 0 to 1, in each of two runs."""
    found = runs_of(meshed, Trouble(events=(LinkEvent(wires="0->1", factor=0.0),)), runs=2)
    (one,) = found.rerouted
    assert (one.src, one.dst, one.failed) == (0, 1, ("0 -> 1",))
    assert one.over == ("0 -> 2", "2 -> 1")
    sent = [info for info in lowered(meshed)[0].tasks if info.ranks == (0, 1)]
    assert one.transfers == 2 * len(sent) > 0
    late = runs_of(meshed, Trouble(events=(LinkEvent(wires="0->1", factor=0.0, at_s=1.0),)))
    assert late.rerouted == ()  # the step is over by then


def test_where_there_is_no_way_round_the_run_stops_and_says_what_and_where(flat):
    found = runs_of(flat, Trouble(events=(LinkEvent(wires="0 -> switch", factor=0.0),)), runs=2)
    assert (found.stopped, found.step_s, found.p50_s) == (2, (), None)
    assert found.stop is not None
    assert "link 0 -> switch has failed, and transfer ring.0[" in found.stop


def test_another_job_takes_its_share_of_the_wires(flat):
    name = flat.links[0].name
    half, all_of = (
        runs_of(flat, Trouble(traffic=(LinkEvent(wires=name, factor=share),))).step_s[0]
        for share in (0.25, 1.0)
    )
    assert runs_of(flat).undisturbed_s < half < all_of


def test_a_worker_that_waits_for_nobody_is_charged_nothing(flat):
    program, _ = lowered(flat)
    timeline = simulate(program.graph)
    found = waits_s(program, timeline)
    assert (found >= 0).all()
    assert np.diag(found).sum() == 0
    assert found.sum(axis=1).max() <= timeline.makespan_s


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Trouble(factors={3: 2.0}), "expected a worker 0 to 2, got 3"),
        (Trouble(factors={0: 0.0}), "expected a factor above 0, got 0"),
        (Trouble(events=(LinkEvent(wires="nope", factor=0.5),)), "link 'nope': expected a part"),
    ],
)
def test_what_is_not_there_is_one_sentence(flat, trouble, said):
    with pytest.raises(PlanError, match=said):
        runs_of(flat, trouble)
