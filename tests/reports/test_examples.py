"""The committed pages are small, stand alone, and tell what the records beside them say."""

import re

import pytest

from bench.examples import FOLDER, PAGES
from foreplan.api import read_cases
from hwprofiles.units import format_s

MOST_BYTES = 1_000_000


@pytest.mark.parametrize("page", PAGES)
def test_a_page_tells_what_its_records_say(page):
    html, markdown = (
        (FOLDER / f"{page}{suffix}").read_text("utf-8") for suffix in (".html", ".md")
    )
    assert len(html.encode()) < MOST_BYTES
    assert "://" not in html
    assert not re.search(r"<link|<img|<iframe|@import|\bsrc=|url\((?!#)", html)
    for case in read_cases([FOLDER / file for file in PAGES[page]]):
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
