"""What is told of a simulated step adds up: memory, links, kinds of time, other sizes."""

from dataclasses import replace

import numpy as np
import pytest

from reports.breakdown import KINDS, OTHER, breakdown_rows
from reports.case import Case
from reports.fabric_layout import panels
from reports.linkuse import drawn_links, flows, link_rows, link_use
from reports.livememory import live_memory
from reports.scaling import scaling
from reports.spans import steps
from tests.reports.cases import STRETCH, comparison, measured_case, piped_case, plan_file


def replays():
    return [case.replay for case in comparison()]


@pytest.mark.parametrize("place", range(3))
def test_live_memory_peaks_at_the_predicted_live_peak_of_every_rank(place):
    case = comparison()[place]
    peaks = case.subject.prediction.live_peak_bytes
    for rank, peak in enumerate(peaks):
        live = live_memory(case.replay.program, case.replay.predicted, rank)
        assert live.total_bytes.max() == peak
        assert all((held >= 0).all() for held in live.by_category.values())
        assert (np.diff(live.at_ps) > 0).all()
        assert live.at_ps[0] == 0
        assert live.at_ps[-1] == case.replay.predicted.makespan_ps


def test_at_the_end_of_a_step_what_lives_on_is_parameters_gradients_and_momentum():
    case = comparison()[0]
    live = live_memory(case.replay.program, case.replay.predicted, 0)
    left = {name for name, held in live.by_category.items() if held[-1]}
    assert left == {"parameters", "gradients", "optimizer"}


def test_a_thinned_curve_keeps_its_peak_and_its_ends():
    replay = replays()[1]
    live = live_memory(replay.program, replay.predicted, 0)
    few = live.thinned(10)
    assert len(few.at_ps) <= 12 < len(live.at_ps)
    assert few.total_bytes.max() == live.total_bytes.max()
    assert set(few.at_ps) <= set(live.at_ps)


def test_links_carry_the_payload_of_every_transfer_over_every_hop():
    for replay in replays():
        graph = replay.program.graph
        hops = [len(graph.row("route", route)) for route in range(len(graph.route_ptr) - 1)]
        moved = sum(
            int(graph.payload_bytes[task]) * hops[graph.route[task]]
            for task in range(graph.tasks)
            if graph.is_flow(task)
        )
        use = link_use(replay.cluster, replay.program, replay.predicted)
        assert use.carried_bytes.sum() == moved > 0
        assert (use.used_frac <= 1).all()
        rows = link_rows(replay.cluster, use, 1000)
        assert sum(row["carried_bytes"] + row["returned_bytes"] for row in rows) == moved
        wires = [frozenset((row["from"], row["to"])) for row in rows]
        assert len(set(wires)) == len(wires)
        assert rows == sorted(rows, key=lambda row: -row["used_frac"])


def test_flows_begin_after_their_overhead_and_end_with_their_transfer():
    replay = replays()[1]
    found, timeline = flows(replay.program.graph, replay.predicted), replay.predicted
    assert (found.begin_ps > timeline.start_ps[found.task]).all()
    assert (found.end_ps == timeline.end_ps[found.task]).all()


@pytest.mark.parametrize("name", ["dgx-1-v100:2", "dgx-a100-80g", "v100-quad", "tpu-v4:4x4x4"])
def test_every_line_of_a_drawn_fabric_stands_for_links_of_both_directions(name):
    from hwprofiles.clusters import load_cluster

    cluster = load_cluster(name)
    for panel in panels(cluster):
        lines = drawn_links(cluster, panel)
        assert len(lines) == len({frozenset(pair[:2]) for pair in panel.pairs})
        assert all(len(links) >= 2 for links in lines.values())


def test_kinds_of_time_sum_to_the_step_on_both_ranks_and_as_measured():
    case = measured_case()
    step_s = case.subject.prediction.step_s
    both, measured = breakdown_rows(case)  # alike, so in one row
    assert both["ranks"] == "0, 1"
    assert measured["step_s"] == pytest.approx(STRETCH * step_s)
    phases = dict(case.subject.prediction.phases_s)
    phases["forward"], phases["waiting"] = phases["forward"] / 2, phases["forward"] / 2
    ranked = replace(case.best, prediction=replace(case.best.prediction, phases_s=phases))
    other = Case(plans=replace(case.plans, plans=(ranked,)))
    first, last = breakdown_rows(other)
    assert (first["ranks"], last["ranks"]) == ("0", "1")
    for row in (both, first, last):
        assert sum(row[kind] for kind in KINDS) == pytest.approx(step_s)
        assert row["compute"] > 0


def test_a_phase_that_is_not_known_here_has_a_kind_of_its_own():
    case = measured_case()
    phases = {**case.measured.phases_s, "dance": 1.0}
    other = replace(case, measured=replace(case.measured, phases_s=phases))
    assert breakdown_rows(other)[-1][OTHER] == 1.0


def test_a_curve_has_powers_of_two_and_the_plan_itself():
    plans = plan_file()
    points = scaling(plans, plans.plans[0])
    assert [point.workers for point in points] == [1, 2, 4]
    own = points[1]
    assert own.step_s == plans.plans[0].prediction.step_s
    assert own.step_s > points[0].step_s / 2


def test_workers_that_the_numbers_of_an_exchange_do_not_suit_are_left_out():
    plans = plan_file()
    own = plans.plans[0]
    nodes = replace(own.plan, workers=4, algorithm="hierarchical:4")
    assert [p.workers for p in scaling(plans, replace(own, plan=nodes))] == [1, 4]


def test_sizes_that_do_not_fit_are_left_out():
    plans = plan_file()
    devices = [replace(d, memory_bytes=10**6) for d in plans.machine[0].device_kinds]
    small = replace(plans, machine={0: replace(plans.machine[0], device_kinds=tuple(devices))})
    assert [point.workers for point in scaling(small, plans.plans[0])] == [2]
    assert scaling(replace(plans, model="no-such-model"), plans.plans[0]) == ()
    assert Case(plans=replace(plans, model="no-such-model")).curve == ()


def test_a_plan_whose_input_runs_ahead_shows_what_one_step_tells_and_no_more():
    case = piped_case()
    assert case.replay is not None
    assert set(steps(case).predicted["rank"]) == set(range(case.replay.program.ranks))
    (row,) = breakdown_rows(case)
    assert row["step_s"] == pytest.approx(case.subject.prediction.step_s)
    assert case.curve == ()
