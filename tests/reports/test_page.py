"""The page: every section, no network, no script but its own, the same bytes each time."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from hwprofiles.errors import RecordError
from planner.plan import Training
from reports.page import render, write_report
from reports.sections import ENTRIES
from reports.tables import escape_markdown
from tests.reports.cases import hostile, measurement, plan_file

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert('x')</script>|`$x_{1}$"


@pytest.fixture(scope="module")
def measured_pages():
    return render(plan_file(), measurement())


@pytest.fixture(scope="module")
def planned_pages():
    return render(plan_file(), None)


def section_of(html: str, key: str) -> str:
    return html.partition(f'<section id="{key}">')[2].partition("</section>")[0]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_section_is_in_both_pages_and_says_something(entry, measured_pages, planned_pages):
    for html, markdown in (measured_pages, planned_pages):
        body = section_of(html, entry.key).partition("</h2>")[2]
        assert re.sub(r"<[^>]*>|\s", "", body)
        said = markdown.partition(f"## {entry.title}\n")[2].partition("\n## ")[0]
        assert said.strip()


def test_the_answer_is_one_sentence_that_a_person_would_quote(measured_pages):
    best = plan_file().plans[0]
    html, markdown = measured_pages
    said = section_of(html, "answer")
    assert f"lenet-5 with batch 64 on v100-quad: {best.plan.workers} worker" in said
    assert re.search(r"[\d.]+ us a step, [\d,]+ samples/s \(grade datasheet, stated interval", said)
    assert "samples/s (grade datasheet" in markdown.partition("\n## ")[0]


def test_cells_of_the_page_and_of_its_twin_are_the_same(measured_pages):
    html, markdown = measured_pages
    cells = re.findall(r"<td[^>]*>([^<]*)", html)
    assert len(cells) > 200
    for cell in cells:
        plain = cell.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'")
        assert escape_markdown(plain.replace("&amp;", "&")) in markdown


def test_names_are_escaped_everywhere():
    html, markdown = render(*hostile(HOSTILE))
    assert html.count("<script") == 1
    assert "alert(&#39;x&#39;)" in html
    assert "<script" not in re.sub(r"^    .*$", "", markdown, flags=re.MULTILINE)


def test_nothing_is_fetched(measured_pages):
    html, _ = measured_pages
    assert "://" not in html
    assert not re.search(r"<link|<img|<iframe|@import|\bsrc=|url\((?!#)", html)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', html))


def test_equal_records_give_equal_bytes_in_another_process(measured_pages):
    program = (
        "import sys; from reports.page import render;"
        "from tests.reports.cases import measurement, plan_file;"
        "sys.stdout.buffer.write('\\0'.join(render(plan_file(), measurement())).encode())"
    )
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert tuple(again.stdout.decode().split("\0")) == measured_pages
    assert not re.search(r"20\d\d-\d\d", measured_pages[0])


def test_ids_are_unique(measured_pages):
    found = re.findall(r'\bid="([^"]*)"', measured_pages[0])
    assert len(found) == len(set(found))


def test_without_a_measurement_the_page_says_how_to_get_one(planned_pages):
    html, markdown = planned_pages
    for text in (section_of(html, "verdict"), markdown):
        assert "foreplan execute plan.json --check -o measurement.json" in text
        assert "foreplan plan lenet-5 local --batch 64" in text


def test_without_a_measurement_the_predicted_step_is_still_drawn(planned_pages):
    assert "predicted: ends after" in section_of(planned_pages[0], "timeline")


def test_a_plan_of_an_unknown_model_has_a_page_without_a_timeline():
    html, _ = render(replace(plan_file(), model="no-such-model"), None)
    assert "<svg" not in section_of(html, "timeline")
    assert "Not drawn" in section_of(html, "timeline")


@pytest.mark.parametrize(
    ("change", "badge", "words"),
    [
        ({}, "passed", "within the claim"),
        ({"passed": False}, "failed", "larger than the claim allows"),
        ({"passed": False, "valid": False}, "void", "did not hold still"),
    ],
)
def test_the_verdict_of_a_check_is_said_in_words(change, badge, words):
    measured = measurement()
    html, _ = render(plan_file(), replace(measured, check=replace(measured.check, **change)))
    assert f'class="badge {badge}"' in html
    assert words in section_of(html, "verdict")
    assert "void: attempt 1: sentinels moved" in section_of(html, "verdict")


def test_a_run_of_another_plan_says_which_one_and_that_costs_were_renewed():
    plans, measured = plan_file(), measurement()
    second = plans.plans[1]
    faster = replace(second.prediction, step_s=second.prediction.step_s / 2)
    ran = replace(measured, ranked=replace(second, prediction=faster))
    said = section_of(render(plans, ran)[0], "verdict")
    assert "number 2 of the plan file" in said
    assert "timed again for this run" in said


def test_a_measurement_of_another_training_is_refused():
    other = replace(measurement(), training=Training(batch=128))
    with pytest.raises(RecordError, match=r"batch=64.*got.*batch=128.*give the plan file"):
        render(plan_file(), other)


@pytest.mark.parametrize("name", ["page.html", "page", "page.htm"])
def test_two_files_are_written_and_nothing_else(tmp_path, name):
    paths = write_report(plan_file(), None, tmp_path / name)
    assert paths == (tmp_path / "page.html", tmp_path / "page.md")
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(RecordError, match="cannot be written"):
        write_report(plan_file(), None, tmp_path / "missing" / "page.html")


def test_importing_reports_is_cheap():
    program = "import sys, reports; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    ).stdout.split()
    assert not {"pandas", "matplotlib", "jinja2", "numpy"} & set(loaded)


@pytest.mark.parametrize(("solo", "cancels"), [(1.1, False), (1.4, True)])
def test_parts_of_the_error_that_cancel_are_called_so(solo, cancels):
    measured = measurement()
    step_s = measured.split.predicted_s
    split = replace(
        measured.split, solo_s=solo * step_s, traced_s=1.2 * step_s, measured_s=1.25 * step_s
    )
    html, _ = render(plan_file(), replace(measured, split=split))
    assert ("They cancel in part" in section_of(html, "split")) == cancels
