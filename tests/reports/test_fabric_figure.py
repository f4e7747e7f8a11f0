"""Pictures of clusters: no two labels touch, nothing is cut off, every link is in the legend."""

from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hwprofiles.clusters import load_cluster
from hwprofiles.errors import RecordError
from reports.fabric_figure import draw_cluster, save
from reports.fabric_layout import panels

pytestmark = pytest.mark.slow

ETHERNET = """
title = "t"
source = "s"
count = 24
[[devices]]
part = "v100-pcie-16g"
count = 4
[host]
link = "pcie-3-x16"
socket_link = "2 x qpi-9.6"
switches = 2
nics = 1
source = "s"
[network]
builder = "leaf-spine"
link = "ethernet-100g"
per_leaf = 6
spines = 2
oversubscription = 3.0
source = "s"
"""
DRAWN = [
    "dgx-1-v100",
    "dgx-a100-80g:4",
    "dgx-h100:32",
    "gb200-nvl72",
    "tpu-v4:4x4x8",
    "tpu-v5e:16x16",
    "mi300x-8",
    "aws-p2-16xlarge",
    "frontier:64",
    "v100-quad",
    "ethernet.toml",
]


@pytest.fixture(params=DRAWN)
def cluster(request, tmp_path):
    if not request.param.endswith(".toml"):
        return load_cluster(request.param)
    (tmp_path / request.param).write_text(ETHERNET)
    return load_cluster(tmp_path / request.param)


def test_no_words_touch_and_nothing_is_cut_off(cluster):
    figure = draw_cluster(cluster)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [*axes.texts, axes.title, *axes.get_legend().get_texts()]
    boxes = {text: text.get_window_extent() for text in texts if text.get_text()}
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text.get_text()!r} is cut off"
    for (a, one), (b, other) in combinations(boxes.items(), 2):
        touch = one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1
        assert not touch, f"{a.get_text()!r} and {b.get_text()!r} overlap"


def test_every_kind_of_link_drawn_is_in_the_legend_with_its_rate(cluster):
    figure = draw_cluster(cluster)
    for axes, panel in zip(figure.axes, panels(cluster), strict=True):
        told = [text.get_text() for text in axes.get_legend().get_texts()]
        drawn = {link.name for _, _, link in panel.pairs}
        assert drawn <= {text.partition(": ")[0] for text in told}
        assert all(text.endswith("GB/s per direction") for text in told)
        assert len(told) == len(set(told))


def test_a_big_system_shows_one_node_and_counts_the_rest():
    inner, host, network = panels(load_cluster("dgx-h100:32"))
    assert [spot.label for spot in inner.spots.values()] == [*map(str, range(8)), "nvswitch"]
    assert "nic7" in host.spots
    assert network.title == "network: 32 nodes, 8 leaf, 32 spine switches"
    assert "27\nmore" in [spot.label for spot in network.spots.values()]


def test_a_picture_is_written_in_the_format_of_its_ending(tmp_path):
    figure = draw_cluster(load_cluster("v100-quad"))
    save(figure, tmp_path / "a.png")
    save(figure, tmp_path / "a.svg")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(RecordError, match=r"a\.xyz: expected an ending of .*png.*, got '\.xyz'"):
        save(figure, tmp_path / "a.xyz")
