"""The figures of the talk: captions from the numbers, the same files twice, no words that touch."""

import json
from io import BytesIO
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from planner.dispatching import KINDS, dispatching
from planner.jsonable import to_jsonable
from planner.memory_policies import (
    DEADLOCK,
    DYNAMIC,
    EXHAUSTED,
    FINISHED,
    LEAN,
    STATIC,
    WAITING,
    Job,
    memory_policies,
)
from planner.staleness import question, staleness
from reports.talk import dispatching as dispatching_figure
from reports.talk import memory as memory_figure
from reports.talk import staleness as staleness_figure
from reports.talk.page import write_plates


def plates():
    cases = dispatching(KINDS[:3], (16,), (1e-6, 1e-4), model="lenet-5", samples=16)
    asked = question("lenet-5", workers=4)
    runs = staleness(asked, (0.0, 1.0), (1, None), steps=10)
    job = Job(model="lenet-5", workers=1, microbatch=8, microbatches=4, slots=2)
    memory = memory_policies([job], (0.5, 1.5, 4.0))
    return [
        dispatching_figure.plate(cases),
        staleness_figure.plate(asked, runs),
        memory_figure.plate(memory),
    ]


@pytest.fixture(scope="module")
def drawn():
    return plates()


def test_a_picture_and_its_numbers_stand_beside_each_other(drawn, tmp_path):
    written = write_plates(drawn, tmp_path, dpi=40)
    assert sorted(tmp_path.iterdir()) == sorted(written)
    for plate in drawn:
        numbers = json.loads((tmp_path / f"{plate.name}.json").read_text())
        assert numbers["caption"] == plate.caption
        assert (tmp_path / f"{plate.name}.png").stat().st_size > 5_000
        assert plate.caption in (tmp_path / "README.md").read_text()


def test_the_same_numbers_and_the_same_picture_come_out_every_time(drawn):
    again = plates()
    for one, other in zip(drawn, again, strict=True):
        numbers = [json.dumps(to_jsonable(plate.record)) for plate in (one, other)]
        assert numbers[0] == numbers[1]
        assert one.caption == other.caption
    assert picture(drawn[1]) == picture(again[1])


def picture(plate):
    data = BytesIO()
    plate.figure.savefig(data, format="png", dpi=30)
    return data.getvalue()


def test_no_words_touch_and_none_are_cut_off(drawn):
    for plate in drawn:
        canvas = FigureCanvasAgg(plate.figure)
        canvas.draw()
        whole = plate.figure.bbox
        axes = plate.figure.axes
        titles = [a.title.get_window_extent() for a in axes]
        titles += [a._left_title.get_window_extent() for a in axes]
        words = [t.get_window_extent() for t in plate.figure.texts] + titles
        words += [t.get_window_extent() for key in plate.figure.legends for t in key.get_texts()]
        words = [box for box in words if box.width > 1]
        assert not any(a.overlaps(b) for a, b in combinations(words, 2)), plate.name
        for box in words:
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1, plate.name


def test_captions_say_what_the_numbers_say(drawn):
    central, stale, memory = drawn
    fast = min(central.record["cases"], key=lambda case: case.task_s)
    slow_down = fast.central_s[1] / fast.actors_s
    assert f"{slow_down:.1f} times on a {fast.kind}" in central.caption
    late = [run for run in stale.record["runs"] if run.spread == 1.0]
    assert f"train {late[0].samples_per_s:,.0f} samples/s" in stale.caption
    (found,) = memory.record
    assert f"{found.arena_bytes / found.live_peak_bytes:.2f} times the live peak" in memory.caption


def test_a_colour_means_one_thing_in_a_figure(drawn):
    kinds, works = dispatching_figure.KIND_COLOURS, dispatching_figure.WORK_COLOURS
    assert len(set(kinds) | set(works.values())) == len(kinds) + len(works)
    marks = memory_figure.MARKS
    assert len({colour for _, colour in marks.values()}) == len(marks)
    (memory,) = [plate for plate in drawn if plate.name == memory_figure.NAME]
    bars, _ = memory.figure.axes[:2]
    filled = {to_hex(bar.get_facecolor()) for bar in bars.patches}
    ends = {marks[name][1] for name in (FINISHED, EXHAUSTED, DEADLOCK)}
    assert len(filled) == 3
    assert filled.isdisjoint(ends)


def test_times_to_the_same_samples_stand_on_one_axis(drawn):
    (stale,) = [plate for plate in drawn if plate.name == staleness_figure.NAME]
    _, *times = stale.figure.axes
    assert len({axes.get_ylim() for axes in times}) == 1


def test_a_plan_that_does_not_fit_is_refused_and_does_not_run_out(drawn):
    (memory,) = [plate for plate in drawn if plate.name == memory_figure.NAME]
    _, outcomes = memory.figure.axes[:2]
    refused, failed = memory_figure.MARKS[memory_figure.REFUSED][0], "X"
    seen = {
        (line.get_marker(), memory_figure.POLICIES[int(line.get_ydata()[0])])
        for line in outcomes.lines
        if line.get_marker() in (refused, failed)
    }
    assert {policy for mark, policy in seen if mark == refused} == {STATIC, LEAN}
    assert DYNAMIC in {policy for mark, policy in seen if mark == failed} <= {DYNAMIC, WAITING}


def test_the_claim_is_the_heading_of_the_picture(drawn):
    for plate in drawn:
        told = {" ".join(text.get_text().split()) for text in plate.figure.texts}
        assert plate.title in told
    stale = drawn[1]
    run = {(r.policy, r.spread): r for r in stale.record["runs"]}
    in_step, loose = run["synchronous", 1.0], run["asynchronous", 1.0]
    most = max(a / b for a, b in zip(in_step.wanted_s, loose.wanted_s, strict=True))
    assert f"up to {most:.1f} times" in stale.title
