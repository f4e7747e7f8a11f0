"""What if: priced again, searched again, and nothing changed where nothing is changed."""

from functools import cache
from pathlib import Path

import pytest

import foreplan
from foreplan.planfiles import read_plans
from hwprofiles.errors import NothingFits, PlanError
from planner.plan import Training
from planner.plandiff import diff
from planner.published.fitted import DATASHEET
from planner.whatif import what_if

EXAMPLES = Path(__file__).parents[2] / "reports" / "examples"


@cache
def bare_file():
    """A plan file as the search writes it."""
    return foreplan.plan("mlp", "v100-quad", Training(batch=16), top=3)


@cache
def asked_file():
    """A plan file of a search in which something was fixed."""
    training, fixed = Training(batch=64), {"overlap": False, "bucket_bytes": 65536}
    return foreplan.plan("lenet-5", "v100-quad", training, top=3, fixed=fixed, software=DATASHEET)


@pytest.mark.parametrize("again", [False, True], ids=["priced", "searched"])
def test_factors_of_one_change_nothing_to_the_bit(again):
    file = bare_file()
    found, new = what_if(file, ["bandwidth=1x", "device.speed=1x"], search_again=again)
    assert new == file
    assert diff(file, new) == ()
    assert not found.changes_hardware
    assert [row.step_change_frac for row in found.plans] == [0.0] * 3


def test_a_search_on_changed_hardware_goes_on_until_it_is_proved():
    """`plan` stops by tasks here; a winner by a thousandth, near a flip point, would be missed."""
    file = read_plans(EXAMPLES / "resnet-50-dgx-1-v100x4-star.json")
    assert file.certificate.stopped_by == "tasks"
    _, new = what_if(file, ["inter.bandwidth=0.95x"], search_again=True)
    assert new.certificate.stopped_by == "proof"


def test_a_change_is_told_with_both_sides_and_the_file_says_what_it_rests_on():
    file = bare_file()
    found, new = what_if(file, ["device.speed=2x"])
    assert found.changes_hardware
    for row in found.plans:
        assert row.after.step_s < row.before.step_s
        assert row.step_change_frac == row.after.step_s / row.before.step_s - 1
    assert new.cluster == "v100-quad with device.speed=2x"
    assert new.certificate.stopped_by == "what-if"
    assert "were not looked at" in new.certificate.statement
    proof = new.certificate
    seen = proof.simulated + proof.pruned_by_dominance + proof.not_reached
    assert seen == file.certificate.by_verdict["fits"]
    assert {row.field for row in diff(file, new) if row.section == "plan"} <= {"label"}


def test_a_new_search_finds_what_repricing_cannot():
    texts = ["device.speed=0.3x"]
    found, new = what_if(asked_file(), texts, search_again=True)
    priced, _ = what_if(asked_file(), texts)
    assert found.winner_after != found.winner_before
    assert new.plans[0].prediction.step_s < priced.plans[0].after.step_s
    held = next(row for row in found.plans if row.label == found.winner_before)
    assert held.before is not None
    assert held.after in [row.after for row in priced.plans]
    assert {ranked.plan.overlap for ranked in new.plans} == {False}, "what was fixed stays fixed"
    assert new.certificate.stopped_by == "proof"


def test_plans_that_no_longer_fit_are_left_out():
    file = bare_file()
    small = min(max(r.prediction.arena_bytes) for r in file.plans)
    most = max(max(r.prediction.arena_bytes) for r in file.plans)
    found, new = what_if(file, [f"device.memory={(small + most) // 2}B"])
    assert 0 < len(new.plans) < len(file.plans)
    assert [row.after is None for row in found.plans].count(True) == 3 - len(new.plans)
    with pytest.raises(NothingFits, match="--replan"):
        what_if(file, ["device.memory=1kB"])


def test_what_runs_say_is_not_said_of_what_is_set():
    file = bare_file()
    assert file.evidence.deviation
    assert file.evidence.stacks
    links = {name for stack in file.evidence.stacks for name in stack.links}
    for texts, deviates, left in (
        (["device.memory=2x"], True, links),
        (["device.flops=2x"], False, links),
        (["link.nvlink-2-x2.bandwidth=2x"], True, links - {"nvlink-2-x2"}),
        (["bandwidth=2x", " latency = 2x"], True, set()),
    ):
        _, new = what_if(file, texts)
        assert (new.evidence.deviation is not None) == deviates
        assert {name for stack in new.evidence.stacks for name in stack.links} == left
        wide = new.plans[0].prediction.interval_s[1] / new.plans[0].prediction.step_s
        assert (wide == 1.6) != deviates
    assert new.cluster == "v100-quad with bandwidth=2x, latency=2x"
    with pytest.raises(PlanError, match="--set latency: expected one value, got several"):
        what_if(file, ["latency=2x", "latency =3x"])
