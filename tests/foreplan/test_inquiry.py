"""``explain``, ``what-if`` and ``diff`` at the command line: answers, JSON, files, refusals."""

import json
from dataclasses import replace

import pytest

import planner.search
import planner.whatif
from foreplan import cli
from planner.flips import Turn
from planner.jsonable import to_jsonable
from planner.records import PlanFile, read_record, write_record
from planner.whatif import what_if
from tests.planner.test_whatif import asked_file, bare_file

KEYS = {
    "model cluster batch pick label step_s interval_s interval_kind grade critical_path"
    " communication input_stall_s waiting_s links stacks margin candidates all_candidates faster"
    " tied flips batches rivals responses idle interrupted": [],
    "phase seconds frac tasks": ["critical_path", 0],
    "total_s hidden_s exposed_s hidden_frac exposed_frac": ["communication"],
    "name link tier wires wires_used bytes utilisation_frac busiest": ["links", 0],
    "label step_s ahead_s ahead_frac differs path_s order": ["margin"],
    "jitter_frac seeds held least_frac most_frac": ["margin", "order"],
    "knob side factor range_factor figures winner faster_frac beyond_factor proved lasts before": [
        "flips",
        0,
    ],
    "choice label step_s simulated least_s": ["rivals", 0],
    "knob half_s double_s": ["responses", 0],
    "batch winner step_s differs proved": ["batches", 0],
}
"""Keys of the JSON of ``explain``, and where they are."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path / "plan.json", asked_file())
    write_record(tmp_path / "small.json", bare_file())
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """``run(*words)``: what a command prints, and that it ends well; or its one line of refusal."""

    def run(*words, code=0):
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert end.value.code == code, err
        if code:
            assert out == ""
            assert err.count("\n") == 1, err
        return err if code else out

    return run


def test_explain_says_why_and_where_the_answer_changes(run):
    text = run("explain", "plan.json")
    for part in (
        "lenet-5, batch 64, on v100-quad: the best plan is dp2-mb32-ring-64KiB-on0.3",
        "critical path",
        "It beats dp2-mb16-ring-64KiB-input2-on0.3 by",
        "They differ in microbatch (32 against 16), input_slots (1 against 2).",
        "With 1 % jitter the order holds in all 100 simulations",
        "computation hides 1.58 us of it (13.0 %)",
        "Above 4.67x bandwidth within a node (nvlink-2-x2 at 233.5 GB/s",
        "dp2-mb32-star-64KiB-on0.3 wins; at 4.81x it is 0.1 % faster.",
        "algorithm star: dp2-mb32-star-64KiB-on0.3, 28.9 us a step, 14.8 % slower.",
        "others are at least 62.5 % slower.",
        "more workers: dp4-mb16-halving_doubling-64KiB-on0.3.2.1, 33.7 us a step, 33.9 % slower.",
        "Below 0.42x device speed dp4-mb16-halving_doubling-64KiB-on0.3.2.1 wins",
        "Device speed up to 8x keeps the winner.",
        "Who wins was decided over all 368 candidates, at the ends",
        "Up to batch 144, where dp3-mb48-multi_ring:2-64KiB wins",
        "that changes workers (from 2 to 3)",
        "Carries no bytes: nvlink-2-x1 (device to device).",
    ):
        assert part in text, f"{part!r} is not in\n{text}"


def test_explain_as_json_has_the_keys_that_are_promised(run):
    data = json.loads(run("explain", "small.json", "--json"))
    for keys, place in KEYS.items():
        at = data
        for step in place:
            at = at[step]
        assert set(at) == set(keys.split()), place
    lost = run("explain", "plan.json", "--pick", "2", "--no-batches")
    assert "why it did not win:\n  It loses to dp2-mb32-ring-64KiB-on0.3 by" in lost
    assert "GB/s" not in lost
    assert "would change" not in run("explain", "small.json", "--no-flips")


def test_what_if_shows_both_sides_and_writes_a_plan_file_that_explains_itself(run, folder):
    text = run("what-if", "plan.json", "--set", "device.speed=0.3x", "--replan", "-o", "new.json")
    best, before = "dp4-mb16-halving_doubling-64KiB-on0.3.2.1", "dp2-mb32-ring-64KiB-on0.3"
    assert f"{best} is the best plan, no longer {before}." in text
    new = read_record(folder / "new.json", PlanFile, "a plan file")
    assert new.plans[0].label == best
    again = run("explain", "new.json", "--pick", "1")
    assert "on v100-quad with device.speed=0.3x: plan 1 is" in again
    shown = run("diff", "plan.json", "new.json")
    assert "inputs:\n  cluster: v100-quad -> v100-quad with device.speed=0.3x" in shown
    assert f"  label: {before} -> {best}" in shown
    data = json.loads(run("diff", "plan.json", "new.json", "--json"))
    assert {"section", "field", "a", "b"} == set(data[0])


def test_nothing_differs_in_equal_files(run, folder):
    write_record(folder / "same.json", asked_file())
    assert run("diff", "plan.json", "same.json") == "nothing differs\n"
    assert json.loads(run("diff", "plan.json", "same.json", "--json")) == []
    text = run("what-if", "plan.json", "--set", "latency=1x", "-o", "one.json")
    assert "the hardware stays as it is" in text
    assert (folder / "one.json").read_bytes() == (folder / "plan.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["explain", "nowhere.json"], 2, "nowhere.json: expected a plan file"),
        (["explain", "plan.json", "--pick", "9"], 2, "--pick 9: the plan file has plans 0 to 2"),
        (["what-if", "plan.json"], 2, "--set: expected at least one NAME=VALUE"),
        (["what-if", "plan.json", "--set", "spine=2x"], 2, "known: bandwidth, latency, intra."),
        (["what-if", "plan.json", "--set", "device.memory=1kB"], 4, "give --replan"),
        (["what-if", "plan.json", "--set", "latency=1x", "-o", "no/x.json"], 2, "no/x.json"),
        (["diff", "plan.json", "nowhere.json"], 2, "nowhere.json: expected a plan file"),
        (["diff", "plan.json", "torn.json"], 2, "torn.json: machine: expected every device"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(words, code, says, run, folder):
    torn = to_jsonable(asked_file())
    torn["machine"]["0"]["devices"][0] = "gone"
    (folder / "torn.json").write_text(json.dumps(torn))
    before = sorted(folder.iterdir())
    assert says in run(*words, code=code)
    assert sorted(folder.iterdir()) == before


def broken_off(capfd, *words):
    """What a command prints that is interrupted and tells what it has."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    out, err = capfd.readouterr()
    assert end.value.code == 130
    assert "foreplan: interrupted" in err
    return out


def after(calls, real):
    """A method that is interrupted after so many calls."""
    seen = []

    def call(*arguments, **named):
        seen.append(arguments)
        if len(seen) > calls:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    return call


def test_an_explanation_that_is_interrupted_tells_what_it_found(folder, capfd, monkeypatch):
    monkeypatch.setattr(Turn, "flip", after(2, Turn.flip))
    found = json.loads(broken_off(capfd, "explain", "small.json", "--json"))
    assert found["interrupted"]
    assert [(f["knob"], f["side"]) for f in found["flips"]] == [
        ("intra.bandwidth", "below"),
        ("intra.bandwidth", "above"),
    ]
    assert found["margin"]["label"]
    monkeypatch.setattr(Turn, "flip", after(0, Turn.flip))
    text = broken_off(capfd, "explain", "small.json")
    assert "what is not named here was not looked at" in text
    assert "critical path" in text


def test_a_new_search_that_is_interrupted_writes_its_best(folder, capfd, monkeypatch):
    monkeypatch.setattr(planner.search, "simulation", after(2, planner.search.simulation))
    words = ["what-if", "small.json", "--set", "bandwidth=0.5x", "--replan", "-o", "new.json"]
    assert "is the best plan" in broken_off(capfd, *words).replace("still ", "")
    new = read_record(folder / "new.json", PlanFile, "a plan file")
    assert (new.certificate.stopped_by, len(new.plans)) == ("interrupt", 2)


def test_one_of_several_searches_that_is_interrupted_keeps_those_before(monkeypatch):
    file = bare_file()
    (record,) = file.machine.values()
    some = replace(file, machine={1: record, 2: record}, fixed={})
    whole, _ = what_if(some, ["bandwidth=0.5x"], search_again=True)
    monkeypatch.setattr(planner.whatif, "search", after(1, planner.whatif.search))
    found, new = what_if(some, ["bandwidth=0.5x"], search_again=True)
    assert (found.interrupted, whole.interrupted) == (True, False)
    assert {ranked.plan.workers for ranked in new.plans} == {1}
