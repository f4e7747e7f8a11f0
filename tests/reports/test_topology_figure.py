"""The picture of the map: all winners named, no label outside its panel, the same bytes twice."""

from io import BytesIO
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import foreplan
from reports.topology_figure import COLOURS, colour_of, draw_topology


@pytest.fixture(scope="module")
def maps():
    return foreplan.topology(["100gbe"], ["dgx-1-v100"], ranks=(2, 24), samples=3)


def test_words_keep_apart_and_inside(maps):
    figure = draw_topology(maps)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1


def test_every_winner_is_in_the_legend(maps):
    named = {text.get_text() for text in draw_topology(maps).legends[0].get_texts()}
    for found in maps:
        for column in range(len(found.ranks)):
            assert {name.replace("_", "-") for name, _, _ in found.bands(column)} <= named


def test_every_all_reduce_has_a_colour_of_its_own():
    from planner.algorithms import algorithm_names, numbered_names

    assert set(COLOURS) == {*algorithm_names(), *numbered_names()}
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_equal_maps_give_equal_pictures(maps):
    def picture():
        data = BytesIO()
        draw_topology(maps).savefig(data, format="png", dpi=30)
        return data.getvalue()

    assert picture() == picture()


def test_numbers_of_an_algorithm_have_shades_of_their_own():
    shades = [colour_of(f"multi_ring:{count}") for count in (2, 4, 8)]
    assert len(set(shades)) == 3
    assert shades[0] == COLOURS["multi_ring"]
    assert colour_of("torus:4x4") != colour_of("torus:2x4")


def test_the_picture_says_where_the_fastest_changes_and_who_never_is(maps):
    told = draw_topology(maps).legends[0].get_title().get_text().replace("\n", " ")
    found = maps[0]
    won = {one.algorithms[i] for one in maps for i in one.winners().ravel().tolist()}
    _, _, never = told.partition("Never fastest: ")
    for name in found.algorithms:
        assert (name.replace("_", "-") in never.rstrip(".").split(", ")) == (name not in won)
    assert found.network.name in told
