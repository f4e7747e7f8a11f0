"""Figures: SVG without addresses or dates that takes its ink from the page."""

from xml.etree import ElementTree

import pytest

from reports.compare import phase_rows, split_parts
from reports.figures import (
    INK,
    loss_figure,
    memory_figure,
    phase_figure,
    split_figure,
    timeline_figure,
)
from reports.rows import memory_rows
from reports.timeline import Span, Steps, traced_steps
from tests.reports.cases import measurement, plan_file


def prediction():
    return plan_file().plans[0].prediction


FIGURES = {
    "phases": lambda: phase_figure(phase_rows(prediction(), measurement())[:-1]),
    "predicted phases": lambda: phase_figure(phase_rows(prediction(), None)[:-1]),
    "split": lambda: split_figure(split_parts(measurement().split)),
    "memory": lambda: memory_figure(memory_rows(prediction()), prediction().live_peak_bytes[0]),
    "loss": lambda: loss_figure(measurement().executions[0].losses),
    "one loss": lambda: loss_figure((2.3,)),
    "timeline": lambda: timeline_figure(traced_steps(measurement().trace)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_well_formed_and_self_contained(name):
    svg = FIGURES[name]()
    assert ElementTree.fromstring(svg).get("role") == "img"
    assert "http" not in svg
    assert "<metadata" not in svg
    assert "currentColor" in svg
    assert INK not in svg


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_each_time(name):
    assert FIGURES[name]() == FIGURES[name]()


def test_a_timeline_of_many_ranks_keeps_a_page_s_height():
    spans = tuple(
        Span(rank=rank, phase="forward", task="f", start_s=0.0, end_s=1e-3) for rank in range(64)
    )
    svg = timeline_figure(Steps(predicted=spans))
    height_pt = float(ElementTree.fromstring(svg).get("height").removesuffix("pt"))
    assert height_pt < 12 * 72
    assert svg.count(">rank ") == 16
