"""The page in a real browser: quiet console, sortable tables, no overflow, ink that fits the paper.

One page of a run and one of three plans side by side, in one headless Chromium.
"""

import math
import os
import re
import shutil

import pytest

from reports.case import pair
from reports.page import render
from tests.reports.browser import Browser
from tests.reports.cases import compared_pages, hostile, measured_pages, piped_case

pytestmark = pytest.mark.slow

WIDTHS = (380, 800, 1400)
PAGES = ("run", "comparison")
SCREEN_PX = 900
PAPER_PX = 718  # A4 and Letter less the browser's margins
SORTED = """(() => {
  const sorts = [];
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      for (let click = 0; click < 2; click++) {
        head.querySelector("button").click();
        sorts.push({ isNumber: head.classList.contains("number"),
          order: head.getAttribute("aria-sort"),
          others: table.querySelectorAll("th[aria-sort]").length,
          values: [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.sort) });
      }
    });
  }
  return sorts;
})()"""
TOO_WIDE = """(() => {
  const inside = [...document.querySelectorAll("main > section, header")];
  return [document.documentElement.scrollWidth,
    Math.max(...inside.map((each) => each.scrollWidth - each.clientWidth))];
})()"""
SCROLLED = """[...document.querySelectorAll(".scroll")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1)
  .map((each) => each.getAttribute("aria-label"))"""
PLACES = """(() => {
  const box = (query) => document.querySelector(query).getBoundingClientRect();
  return { answer: box("p.lead").bottom, sections: box("nav").height,
    figure: box("main figure").top, first: document.querySelector("main section").id };
})()"""
CAPTIONS = """Math.max(...[...document.querySelectorAll(".caption, figcaption")]
  .map((each) => each.getBoundingClientRect().right))"""
ORDER = """(() => {
  const head = document.querySelector("table.sortable th");
  return head.getAttribute("aria-sort");
})()"""
INK = """(() => {
  const style = (query, name) => getComputedStyle(document.querySelector(query))[name];
  return { ink: style("body", "color"), paper: style("body", "backgroundColor"),
    labels: style("#timeline svg text", "fill"), boxes: style("#links svg text", "fill") };
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = shutil.which("chromium")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("chromium is not on the path; install it with the system's packages")
    if found is None:
        pytest.skip("chromium is not on the path")
    driven = Browser(found, str(tmp_path_factory.mktemp("profile")))
    yield driven
    driven.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Where the pages lie, by name."""
    folder = tmp_path_factory.mktemp("pages")
    name = "<script>console.log('ran')</script>" + "<img src=x onerror=console.log(1)>" * 3
    plans, measured = hostile(name)
    made = {
        "run": measured_pages(),
        "comparison": compared_pages(),
        "hostile": render(pair([plans], [measured])),
        "fed": render((piped_case(),)),
    }
    found = {}
    for key, (html, _) in made.items():
        path = folder / f"{key}.html"
        path.write_text(html, encoding="utf-8")
        found[key] = path.as_uri()
    return found


@pytest.mark.parametrize("page", [*PAGES, "hostile", "fed"])
def test_no_console_no_network_and_no_overflow_at_any_width(browser, pages, page):
    browser.open(pages[page])
    assert browser.fetched() == {pages[page]}
    for width in WIDTHS:
        browser.size(width)
        needed, inside = browser.run(TOO_WIDE)
        assert needed <= width
        assert inside <= 0
    assert browser.complaints() == []


@pytest.mark.parametrize("page", PAGES)
def test_the_first_screen_answers_and_a_phone_has_its_sections_in_one_line(browser, pages, page):
    browser.open(pages[page])
    seen = {}
    for width in (380, 1400):
        browser.size(width)
        seen[width] = browser.run(PLACES)
        assert seen[width]["answer"] < 0.6 * SCREEN_PX
    assert seen[380]["sections"] < SCREEN_PX / 20
    if seen[1400]["first"] == "overview":
        assert seen[1400]["figure"] < SCREEN_PX / 2


@pytest.mark.parametrize("page", PAGES)
def test_on_a_wide_screen_and_on_paper_nothing_is_scrolled_or_cut(browser, pages, page):
    browser.open(pages[page])
    browser.size(1400)
    assert browser.run(SCROLLED) == []
    browser.paper(is_on=True)
    browser.size(PAPER_PX)
    found, (needed, inside) = browser.run(SCROLLED), browser.run(TOO_WIDE)
    browser.paper(is_on=False)
    assert found == []
    assert needed <= PAPER_PX
    assert inside <= 0


def test_a_phone_shows_plans_side_by_side_and_all_captions_whole(browser, pages):
    browser.open(pages["comparison"])
    browser.size(380)
    assert browser.run(CAPTIONS) <= browser.run("document.documentElement.clientWidth")
    assert "Below a number: how far it is from star" not in browser.run(SCROLLED)


@pytest.mark.parametrize("page", PAGES)
def test_a_click_sorts_by_value_and_a_second_click_the_other_way(browser, pages, page):
    browser.open(pages[page])
    sorts = browser.run(SORTED)
    assert len(sorts) > 2 * 15
    for first, second in zip(sorts[::2], sorts[1::2], strict=True):
        assert {first["order"], second["order"]} == {"ascending", "descending"}
        for sort in (first, second):
            assert sort["others"] == 1
            values = sort["values"]
            if sort["isNumber"]:  # what has no value counts as least
                values = [float(v) if v else -math.inf for v in values]
            key = None if sort["isNumber"] else str.casefold
            assert values == sorted(values, key=key, reverse=sort["order"] == "descending")


def test_the_keyboard_sorts_too(browser, pages):
    browser.open(pages["run"])
    before = browser.run(ORDER)
    browser.run("document.querySelector('table.sortable th button').focus()")
    browser.press("Enter", 13, "\r")
    first = browser.run(ORDER)
    browser.press(" ", 32, " ")
    assert before is None
    assert {first, browser.run(ORDER)} == {"ascending", "descending"}
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.tagName") == "BUTTON"


def test_labels_take_the_ink_of_the_page_in_light_and_in_dark(browser, pages):
    browser.open(pages["comparison"])
    found = {}
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        found[scheme] = browser.run(INK)
    browser.scheme("light")
    for seen in found.values():
        assert seen["labels"] == seen["boxes"] == seen["ink"] != seen["paper"]
    assert found["light"]["ink"] != found["dark"]["ink"]
    assert found["light"]["paper"] != found["dark"]["paper"]


def test_paper_shows_all_of_it(browser, pages):
    browser.open(pages["run"])
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 20
