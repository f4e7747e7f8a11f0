"""The page: every section, no network, no script but its own, the same bytes each time."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from hwprofiles.units import format_frac, format_s
from planner.machine import NodeRates
from reports import evidence, measured, resources
from reports.answers import candidates
from reports.case import Case, named, pair
from reports.opening import headline, lead, question
from reports.page import render, write_report
from reports.sections import ENTRIES
from reports.tables import escape_markdown
from tests.reports import cases
from tests.reports.cases import comparison, hostile, measurement, plan_file

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert('x')</script>|`$x_{1}$"


@pytest.fixture(scope="module")
def measured_pages():
    return cases.measured_pages()


@pytest.fixture(scope="module")
def planned_pages():
    return render((Case(plans=plan_file()),))


@pytest.fixture(scope="module")
def fed_pages():
    return render((cases.piped_case(),))


@pytest.fixture(scope="module")
def compared_pages():
    return cases.compared_pages()


def section_of(html: str, key: str) -> str:
    return html.partition(f'<section id="{key}">')[2].partition("</section>")[0]


MEASURED = {"verdict", "split", "ops", "training", "sentinels"}
"""Sections that only a measurement can fill."""


def says_nothing(place, key):
    """Whether a page has no such section: nobody measured, compared or fed what it is about."""
    return (
        (key in MEASURED and place in (1, 3))
        or (key == "overview" and place != 2)
        or (key == "input" and place != 3)
        or (key in ("candidates", "scaling") and place == 3)
    )


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_section_is_in_the_pages_that_it_is_about_and_says_something(
    entry, measured_pages, planned_pages, compared_pages, fed_pages
):
    pages = (measured_pages, planned_pages, compared_pages, fed_pages)
    for place, (html, markdown) in enumerate(pages):
        body = section_of(html, entry.key).partition("</h2>")[2]
        said = markdown.partition(f"## {entry.title}\n")[2].partition("\n## ")[0]
        if says_nothing(place, entry.key):
            assert not body + said
            assert f'"#{entry.key}"' not in html
        else:
            assert re.sub(r"<[^>]*>|\s", "", body)
            assert said.strip()


def test_no_sentence_is_said_twice(measured_pages, planned_pages, compared_pages, fed_pages):
    for html, _ in (measured_pages, planned_pages, compared_pages, fed_pages):
        said = re.findall(r"<(?:p|li)(?! class=.caption)[^>]*>([^<]{30,})<", html)
        assert len(said) == len(set(said)) > 10


def test_a_comparison_shows_every_plan_and_its_distance_to_the_first(compared_pages):
    html, markdown = compared_pages
    star, tree, ring = comparison()
    plans = {"star": star, "tree": tree, "ring": ring}
    said = section_of(html, "overview")
    assert "star against tree against ring" in html
    change = ring.subject.prediction.step_s / star.subject.prediction.step_s - 1
    assert f"{100 * change:+.1f} %" in said
    assert f"{100 * change:+.1f} %" in markdown
    steps_s = {n: c.subject.prediction.step_s for n, c in plans.items()}
    fastest = min(steps_s, key=steps_s.__getitem__)  # one is measured, so predictions are compared
    assert f"{fastest} is the fastest" in markdown.partition("\n## ")[0]
    for case in (star, tree, ring):
        assert case.subject.label in section_of(html, "answer")
        assert case.subject.label in section_of(html, "candidates")
    assert section_of(html, "links").count("<svg") == 3


def test_figures_of_a_comparison_have_one_axis(compared_pages):
    for key in ("overview", "phases", "timeline", "memory", "scaling"):
        assert section_of(compared_pages[0], key).count("<svg") == 1


def test_the_top_asks_answers_and_says_how_sure_and_by_how_much(measured_pages):
    plans = plan_file()
    for page in measured_pages:
        top = re.split(r"<nav|\n## ", page)[0].replace("**", "")
        assert "How is lenet-5 trained fastest on v100-quad" in top
        assert f"{plans.plans[0].plan.workers} workers, microbatch" in top
        assert re.search(r"us a step, [\d,]+ samples/s \(grade datasheet, stated interval", top)
        assert "None of the candidates can be faster" in top
        assert f"{format_frac(plans.certificate.runner_up_frac)} slower" in top
        assert f"of {plans.certificate.candidates:,} candidates" in top


def test_measured_steps_are_compared_where_all_are_measured():
    _, _, ring = comparison()
    again = replace(ring, measured=replace(ring.measured, step_s=2 * ring.measured.step_s))
    twice = named([ring, again])
    assert f"{format_s(ring.measured.step_s)} a step as measured" in lead(twice)
    assert "takes 2 times as long" in lead(twice)
    half = named([ring, replace(ring, measured=None)])
    assert "takes as long" in lead(half)
    assert "predicted" in lead(half)


def test_the_top_of_a_comparison_says_whether_the_intervals_tell_the_plans_apart():
    star, tree, _ = comparison()
    told = lead((star, tree))
    assert "The intervals of star and tree overlap: a run may turn their order" in told
    half = replace(tree.subject.prediction, interval_s=(1e-9, 2e-9), step_s=1.5e-9)
    (ranked, *_), plans = tree.plans.plans, tree.plans
    apart = replace(tree, plans=replace(plans, plans=(replace(ranked, prediction=half),)))
    assert "overlap" not in lead((star, apart))


@pytest.mark.parametrize(
    ("objective", "words", "unit"),
    [
        ("cost", "trained at the least cost on", "USD"),
        ("energy", "trained with the least energy on", "kWh"),
        ("time and cost", "no other plan beats it in time and cost both", "USD"),
    ],
)
def test_a_page_asks_what_the_search_was_for_and_shows_what_it_takes(objective, words, unit):
    plans = plan_file()
    searched = replace(plans.certificate, objective=objective)
    node = NodeRates(devices=4, usd_per_h=3.6, watts=1000)
    case = Case(plans=replace(plans, certificate=searched, node=node))
    assert words in question((case,))
    boxes = [figure.title for figure in headline((case,))]
    assert ("next best plan" in boxes) != ("plans on the front" in boxes) == (" and " in objective)
    sample_s = case.best.prediction.step_s / 64
    value = {"USD": 1e-3, "kWh": 1000 / 3.6e6}[unit] * sample_s * 1e6
    assert f"{value:.3g} {unit} for 1 M samples" in lead((case,))
    (block,) = candidates((case,))
    assert block.text[0].startswith(f"{'Energy' if unit == 'kWh' else 'Cost'} (grade datasheet)")
    assert f"{value:.3g} {unit}" in [cell.text for cell in block.tables[0].rows[0]]


def test_cells_of_the_page_and_of_its_twin_are_the_same(measured_pages):
    html, markdown = measured_pages
    cells = re.findall(r"<td[^>]*>([^<]*)", html)
    assert len(cells) > 150
    for cell in cells:
        plain = cell.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'")
        assert escape_markdown(plain.replace("&amp;", "&")) in markdown


def test_names_are_escaped_everywhere():
    html, markdown = render(pair(*([record] for record in hostile(HOSTILE))))
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
        "from tests.reports.cases import measured_case;"
        "sys.stdout.buffer.write('\\0'.join(render((measured_case(),))).encode())"
    )
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert tuple(again.stdout.decode().split("\0")) == measured_pages
    assert not re.search(r"20\d\d-\d\d", measured_pages[0])


def test_ids_are_unique(measured_pages, compared_pages):
    for html, _ in (measured_pages, compared_pages):
        found = re.findall(r'\bid="([^"]*)"', html)
        assert len(found) == len(set(found))


def test_without_a_measurement_the_page_says_how_to_get_one(planned_pages):
    html, markdown = planned_pages
    for text in (section_of(html, "reproduction"), markdown):
        assert "foreplan execute plan.json --check -o measurement.json" in text
        assert "foreplan plan lenet-5 local --batch 64" in text


def test_without_a_measurement_the_predicted_step_is_still_drawn(planned_pages):
    assert "predicted: ends after" in section_of(planned_pages[0], "timeline")


def test_a_plan_of_an_unknown_model_has_sections_without_what_only_a_simulation_tells():
    case = Case(plans=replace(plan_file(), model="no-such-model"))
    for build in (evidence.timeline, resources.memory, resources.links):
        blocks = build((case,))
        assert not any(block.drawings for block in blocks)
        assert any("Not drawn" in text for block in blocks for text in block.text)
    assert evidence.scales((case,)) == ()
    assert evidence.phases((case,))[0].drawings


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "passed", "within the claim"),
        ({"passed": False}, "failed", "larger than the claim allows"),
        ({"passed": False, "valid": False}, "void", "did not hold still"),
    ],
)
def test_the_verdict_of_a_check_is_said_in_words(change, verdict, words):
    ran = measurement()
    case = Case(plans=plan_file(), measured=replace(ran, check=replace(ran.check, **change)))
    (block,) = measured.verdict((case,))
    assert case.verdict == verdict
    assert words in " ".join(block.text)
    assert "void: attempt 1: sentinels moved" in block.points[0]


def test_the_verdict_is_a_badge(measured_pages, planned_pages):
    assert 'class="badge passed"' in measured_pages[0]
    assert 'class="badge not-measured"' in planned_pages[0]


def test_a_run_of_another_plan_says_which_one_and_that_costs_were_renewed():
    plans, ran = plan_file(), measurement()
    second = plans.plans[1]
    faster = replace(second.prediction, step_s=second.prediction.step_s / 2)
    ran = replace(ran, ranked=replace(second, prediction=faster))
    (block,) = measured.verdict((Case(plans=plans, measured=ran),))
    assert "number 2 of the plan file" in " ".join(block.text)
    assert "timed again for this run" in " ".join(block.text)


def test_two_files_are_written_and_nothing_else(tmp_path):
    paths = write_report((Case(plans=plan_file()),), tmp_path / "page.htm")
    assert paths == (tmp_path / "page.html", tmp_path / "page.md")
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_importing_reports_is_cheap():
    program = "import sys, reports; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    ).stdout.split()
    assert not {"pandas", "matplotlib", "jinja2", "numpy"} & set(loaded)


@pytest.mark.parametrize(("solo", "cancels"), [(1.1, False), (1.4, True)])
def test_parts_of_the_error_that_cancel_are_called_so(solo, cancels):
    ran = measurement()
    step_s = ran.split.predicted_s
    split = replace(
        ran.split, solo_s=solo * step_s, traced_s=1.2 * step_s, measured_s=1.25 * step_s
    )
    (block,) = measured.split((Case(plans=plan_file(), measured=replace(ran, split=split)),))
    assert ("They cancel in part" in " ".join(block.text)) == cancels
