"""``foreplan topology`` as a person calls it."""

import json

import pytest

from foreplan.cli import main

SMALL = ("topology", "--link", "100gbe", "--ranks", "2:12")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


def test_the_table_says_who_wins_up_to_which_size(capsys):
    code, out, _ = run(capsys, *SMALL)
    assert code == 0
    assert "ethernet-100g: 12.5 GB/s a direction, 10 us a message" in out
    assert "halving-doubling up to" in out


def test_a_cluster_says_the_rates_of_its_slowest_and_its_fastest_pair(capsys):
    asked = ("--cluster", "dgx-1-v100", "--ranks", "2,3", "--algorithm", "ring")
    _, out, _ = run(capsys, "topology", *asked)
    assert out.startswith("dgx-1-v100: 15.75 GB/s (slowest pair) to 50 GB/s a direction, ")
    _, text, _ = run(capsys, "topology", *asked, "--json")
    (record,) = json.loads(text)
    assert (record["bandwidth_bytes_per_s"], record["fastest_bandwidth_bytes_per_s"]) == (
        15.75e9,
        50e9,
    )


def test_json_and_csv_tell_the_same_bands(capsys):
    _, text, _ = run(capsys, *SMALL, "--json")
    (record,) = json.loads(text)
    _, rows, _ = run(capsys, *SMALL, "--csv")
    lines = [line.split(",") for line in rows.splitlines()[1:]]
    bands = [(str(b["ranks"]), b["algorithm"], str(b["first_bytes"])) for b in record["bands"]]
    assert [(ranks, name, first) for _, ranks, name, first, _ in lines] == bands


def test_a_picture_is_drawn(capsys, tmp_path):
    code, _, err = run(capsys, *SMALL, "--samples", 2, "-o", tmp_path / "map.png")
    assert code == 0
    assert "wrote" in err
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--ranks", "2-8"], "--ranks '2-8': expected a range"),
        (["--ranks", "8:2"], "--ranks '8:2': expected a range"),
        (["--bytes", "1KB"], "--bytes '1KB': expected a range"),
        (["--engine", "fast"], "--engine 'fast': expected simpy"),
        (["--cluster", "v100-quad", "--ranks", "5,6"], "ranks: expected 2 to 4"),
    ],
)
def test_a_wrong_option_is_one_sentence(capsys, wrong, said):
    code, _, err = run(capsys, "topology", *wrong)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
