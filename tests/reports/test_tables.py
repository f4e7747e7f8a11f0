"""Text of quantities: units on every number, and none of it misleading."""

import doctest

import pytest

import reports.facts
import reports.tables
import reports.words
from hwprofiles.units import format_bytes, format_s
from reports.tables import (
    FORMATS,
    Column,
    Line,
    compared,
    escape_markdown,
    table,
    text_rate,
    text_signed_frac,
)


def test_examples_in_the_docstrings_hold():
    for module in (reports.tables, reports.facts, reports.words):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.002249198781, "2.25 ms"),
        (9.996e-4, "1 ms"),
        (4.2e-8, "42 ns"),
        (61, "61 s"),
    ],
)
def test_seconds_have_three_digits_and_a_unit(seconds, text):
    assert format_s(seconds) == text


def test_bytes_and_rates_round_before_the_unit():
    assert format_bytes(246_824) == "247 kB"
    assert format_bytes(999_999) == "1 MB"
    assert text_rate(28_454.577) == "28,500 samples/s"
    assert text_rate(3.14159) == "3.14 samples/s"


def test_a_small_negative_error_is_not_minus_zero():
    assert text_signed_frac(-0.0001) == "0.0 %"
    assert text_signed_frac(-0.3326) == "-33.3 %"
    assert text_signed_frac(0.05) == "+5.0 %"


def test_rows_are_formatted_and_sorted_by_value_not_by_text():
    made = table(
        [{"op": "a", "s": 9e-6}, {"op": "b", "s": 1e-3}, {"op": "c", "s": None}],
        [Column(key="op", title="op"), Column(key="s", title="time", kind="seconds")],
        by="s",
    )
    assert [[cell.text for cell in row] for row in made.rows] == [
        ["b", "1 ms"],
        ["a", "9 us"],
        ["c", "-"],
    ]
    assert [row[1].sort for row in made.rows] == ["0.001", "9e-06", ""]


def test_a_table_without_rows_keeps_its_columns():
    assert table([], [Column(key="x", title="x")]).rows == ()


def test_facts_have_no_titles():
    assert compared([""], [Line(title="seed", values=(0,))]).headless


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"text", "flag", "count", "number"}))
def test_every_quantity_carries_its_unit(kind):
    assert FORMATS[kind](12, 3).partition(" ")[2]


def test_markdown_shows_marks_as_they_are():
    assert escape_markdown("a|b\n`c` [d] <e>") == r"a\|b \`c\` \[d\] &lt;e&gt;"
