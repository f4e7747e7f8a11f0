"""The committed pages are small, stand alone, and tell what the records beside them say."""

import re

import pytest

from bench.examples import FOLDER, MEASURED, PAGES, PICTURES
from hwprofiles.units import format_s
from planner.measurement import Measurement
from planner.records import PlanFile, read_record
from reports.case import pair

MOST_BYTES = 1_000_000


@pytest.mark.parametrize("page", PAGES)
def test_a_page_tells_what_its_records_say(page):
    html, markdown = (
        (FOLDER / f"{page}{suffix}").read_text("utf-8") for suffix in (".html", ".md")
    )
    assert len(html.encode()) < MOST_BYTES
    assert "://" not in html
    assert not re.search(r"<link|<img|<iframe|@import|\bsrc=|url\((?!#)", html)
    plans, runs = [], []
    for file in PAGES[page]:
        if file in MEASURED[1:]:
            runs.append(read_record(FOLDER / file, Measurement, "a measurement file"))
        else:
            plans.append(read_record(FOLDER / file, PlanFile, "a plan file"))
    for case in pair(plans, runs):
        prediction = case.subject.prediction
        told = [case.subject.label, format_s(prediction.step_s), prediction.grade]
        told += [format_s(case.measured.step_s)] if case.measured else []
        for text in told:
            assert text in html, f"{page}.html: run `make examples`"
            assert text in markdown, f"{page}.md: run `make examples`"


def test_no_page_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.html")} == set(PAGES)
    records = {path.name for path in FOLDER.glob("*.json")}
    assert records == {file for files in PAGES.values() for file in files}


def test_the_list_names_the_commands_that_draw_the_pictures():
    listed = (FOLDER / "README.md").read_text("utf-8")
    for name, words in PICTURES.items():
        assert f"`foreplan {words} -o {name}`" in listed
        assert (FOLDER / name).exists()
