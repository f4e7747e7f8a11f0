"""Figures: SVG without addresses or dates that takes its ink from the page."""

from functools import cache
from xml.etree import ElementTree

import pandas as pd
import pytest

from reports.bar_figures import breakdown_figure, interval_figure
from reports.breakdown import breakdown_rows
from reports.canvas import INK, PAPER
from reports.compare import split_parts
from reports.figures import loss_figure, split_figure
from reports.link_figure import use_figure
from reports.linkuse import link_use
from reports.livememory import live_memory
from reports.memory_figure import MemoryPanel, memory_figure
from reports.scaling_figure import scaling_figure
from reports.spans import steps
from reports.time_figure import Panel, timeline_figure
from tests.reports.cases import comparison, measured_case, measurement


def breakdown():
    return breakdown_figure(comparison(), [breakdown_rows(case) for case in comparison()])


def links():
    replay = comparison()[0].replay
    return use_figure(replay.cluster, link_use(replay.cluster, replay.program, replay.predicted))


def memory():
    panels = [
        MemoryPanel(
            title=case.name,
            live=live_memory(case.replay.program, case.replay.predicted, 0),
            arena_bytes=case.subject.prediction.arena_bytes[0],
        )
        for case in comparison()
    ]
    return memory_figure(panels)


def timeline():
    found = steps(measured_case())
    return timeline_figure(
        [Panel(title=side, spans=own, ranks=found.ranks) for side, own in found.sides.items()]
    )


FIGURES = {
    "interval": lambda: interval_figure(comparison()),
    "breakdown": breakdown,
    "split": lambda: split_figure(split_parts(measurement().split)),
    "memory": memory,
    "links": links,
    "loss": lambda: loss_figure(measurement().executions[0].losses),
    "one loss": lambda: loss_figure((2.3,)),
    "scaling": lambda: scaling_figure(comparison()),
    "timeline": timeline,
}
LABELS = {
    "interval": ["time of one step (us)", "predicted", "stated interval", "measured", "star"],
    "breakdown": ["time of one step (us)", "compute", "exposed communication", "star, rank 0, 1"],
    "memory": ["memory (MB)", "time since the start of the step (us)", "activations", "arena"],
    "links": ["not used", " %"],
    "scaling": ["throughput (samples/s)", "workers", "star", "n times one worker"],
    "timeline": ["time since the start of the step (us)", "forward", "rank 0", "measured: ends"],
}


@cache
def drawn(name):
    return FIGURES[name]()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_well_formed_and_self_contained(name):
    figure = drawn(name)
    assert ElementTree.fromstring(figure).get("role") == "img"
    assert "http" not in figure
    assert "<metadata" not in figure
    assert "currentColor" in figure
    assert INK not in figure
    assert PAPER not in figure


@pytest.mark.parametrize("name", LABELS)
def test_axes_have_their_unit_and_colours_their_meaning(name):
    text = "".join(ElementTree.fromstring(drawn(name)).itertext())
    for label in LABELS[name]:
        assert label in text


@pytest.mark.parametrize("name", ["links", "loss"])
def test_a_figure_is_the_same_each_time(name):
    assert FIGURES[name]() == drawn(name)


def test_boxes_of_the_fabric_have_the_paper_of_the_page():
    assert "fill: var(--paper)" in drawn("links")


def test_a_timeline_of_many_ranks_keeps_a_page_s_height():
    spans = pd.DataFrame(
        {"rank": range(64), "phase": "forward", "task": "f", "start_s": 0.0, "end_s": 1e-3}
    )
    figure = timeline_figure([Panel(title="predicted", spans=spans, ranks=64)])
    height_pt = float(ElementTree.fromstring(figure).get("height").removesuffix("pt"))
    assert height_pt < 12 * 72
    assert figure.count(">rank ") == 16


def test_each_step_of_a_timeline_names_its_own_ranks():
    spans = pd.DataFrame(
        {"rank": range(8), "phase": "forward", "task": "f", "start_s": 0.0, "end_s": 1e-3}
    )
    panels = [
        Panel(title=f"on {ranks}", spans=spans[spans["rank"] < ranks], ranks=ranks)
        for ranks in (2, 8, 4)
    ]
    words = list(ElementTree.fromstring(timeline_figure(panels)).itertext())
    assert [words.count(f"rank {rank}") for rank in range(8)] == [3, 3, 2, 2, 1, 1, 1, 1]
