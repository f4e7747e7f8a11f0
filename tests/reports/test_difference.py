"""The words of a difference: units, one line for what one file alone has, counts for the rest."""

import doctest

import pytest

import planner.wires
import reports.difference
import reports.flip_words
import reports.shares
from planner.plandiff import Difference
from reports.difference import difference_lines, with_unit


def rows(section, **fields):
    return [
        Difference(section=section, field=name.replace("__", " ").replace("_0", "."), a=a, b=b)
        for name, (a, b) in fields.items()
    ]


@pytest.mark.parametrize(
    "module",
    [reports.difference, reports.flip_words, reports.shares, planner.wires],
    ids=lambda module: module.__name__,
)
def test_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_how_much_faster_the_second_is_comes_first():
    found = rows("prediction", step_s=(0.2, 0.1), samples_per_s=(1000.0, 4000.0), gap_frac=(1, 2))
    assert list(difference_lines(found)) == [
        "the second trains 4 times as fast as the first",
        "prediction:",
        "  step_s: 200 ms -> 100 ms (-50.0 %)",
        "  samples_per_s: 1,000 samples/s -> 4,000 samples/s (+300.0 %)",
        "  gap_frac: 100.00 % -> 200.00 %",
    ]
    # as more samples in as much time
    assert next(difference_lines(found[1:2])).startswith("the second trains 4 times")


def test_a_law_shows_its_first_points_and_how_many_there_are():
    law = [[size, 1e-6] for size in (0, 1000, 2000, 3000, 4000, 5000)]
    assert with_unit("link x overheads", law).endswith("1 us from 3 kB, ... (6)")


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("step_s", 0.2307, "230.7 ms"),
        ("phases_s.exchange", 0.0, "0 s"),
        ("samples_per_s", 4437.99, "4,440 samples/s"),
        ("memory_bytes.gaps", 35_180_000, "35.18 MB"),
        ("arena_bytes", (1000, 2000, 3000, 4000, 5000), "1 kB, 2 kB, 3 kB, 4 kB, ... (5)"),
        ("link x bandwidth_bytes_per_s", 10e9, "10 GB/s"),
        ("device x peak_flop_per_s.float16", 3.13e13, "31.3 TFLOP/s"),
        ("link x overheads", [[0, 8.9e-07], [1231.92, 9.25e-07]], "890 ns from 0 B, 925 ns from"),
        ("link x grade", 1, "fitted"),
        ("device x power_w", 300, "300 W"),
        ("fixed", {"algorithm": "star", "overlap": True}, "algorithm=star, overlap=on"),
        ("fixed", None, "-"),
        ("stacks", [{"name": "nvlink-2", "links": ["x1", "x2"]}], "nvlink-2 on x1, x2"),
        ("workers", 1024, "1,024"),
    ],
)
def test_a_figure_has_the_unit_of_its_name(field, value, text):
    assert with_unit(field, value).startswith(text)


def test_a_device_of_one_file_alone_is_one_line():
    own = {"device__a100__cores": (None, 108), "device__a100__kind": (None, "gpu")}
    other = {"device__v100__cores": (80, None), "device__v100__kind": ("gpu", None)}
    both = {"link__x__grade": (1, 2), "link__x__sha256": ("a", "b")}
    assert list(difference_lines(rows("inputs", **own, **other, **both))) == [
        "inputs:",
        "  device a100: only in the second",
        "  device v100: only in the first",
        "  link x grade: fitted -> datasheet",
        "  link x sha256: a -> b",
    ]


def test_noise_is_left_out_and_trivia_is_counted():
    found = [
        *rows("critical path", forward=(0.1, 0.1 + 1e-15), exchange=(0.002, 0.001)),
        *rows("other plans", x=(1, 2), y=(1, 2)),
        *rows("search", examples_0fits=("a", "b"), simulated=(3, 4)),
    ]
    assert list(difference_lines(found)) == [
        "critical path:",
        "  exchange: 2 ms -> 1 ms (-50.0 %)",
        "search:",
        "  simulated: 3 -> 4",
        "other plans: 2 fields differ; --json lists them",
        "examples of verdicts: 1 field differs; --json lists them",
    ]
