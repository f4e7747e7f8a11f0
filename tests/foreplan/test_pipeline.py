"""``foreplan pipeline`` as a person calls it."""

import json
from xml.etree import ElementTree

import pytest

from foreplan.cli import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["pipeline", "lenet-5", "p40-octo", "--batch", "64", "--quiet", *arguments])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


def test_the_table_says_stages_bubble_and_memory(capsys):
    code, out, _ = run(capsys, "--stages", "2")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("lenet-5, batch 64, on p40-octo: 2 stages, ")
    assert "; bubble " in lines[1]
    assert "memory" in out
    assert "the fastest that fits of " in lines[-1]


def test_json_has_the_plan_and_the_prediction_and_a_figure_is_drawn(capsys, tmp_path):
    figure = tmp_path / "step.svg"
    given = ["--balance", "4,8", "--schedule", "1f1b", "--microbatches", "4"]
    code, out, _ = run(capsys, *given, "--recompute", "always", "--json", "-o", str(figure))
    found = json.loads(out)
    assert code == 0
    assert found["plan"]["balance"] == [4, 8]
    assert found["plan"]["recompute"] == "always"
    assert found["plan"]["schedule"] == "one_f_one_b"
    assert found["prediction"]["step_s"] >= found["prediction"]["closed_form_s"]
    assert found["prediction"]["samples_per_s"] == 64 / found["prediction"]["step_s"]
    assert found["candidates"] == 1
    drawn = figure.read_text(encoding="utf-8")
    assert "stage 1" in drawn
    assert ElementTree.parse(figure).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "recompute" in drawn


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--balance", "4;8"], "--balance '4;8': expected numbers of layers such as"),
        (["--stages", "9"], "9 stages: expected a device of its own for each, got 8"),
        (["-o", "."], ".: cannot be written (it is a folder)"),
        (["-o", "step.png"], "step.png: expected a file that ends in .svg"),
    ],
)
def test_a_wrong_option_is_one_sentence(capsys, wrong, said):
    code, _, err = run(capsys, *wrong)
    assert code == 2
    assert err.startswith(f"foreplan: {said}")
    assert err.count("\n") == 1
