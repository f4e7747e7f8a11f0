"""The small set of published runs: predictions lie where physics and their fit put them."""

from dataclasses import replace

import pytest

from planner.published.assess import assess
from planner.published.cases import express
from planner.published.names import Unsaid
from planner.published.predict import bounds, predicted_s
from planner.published.rows import LABELS, RESULTS, SMALL, read_rows
from planner.published.summary import summaries

ROWS = read_rows(SMALL)
REACHED_FRAC = (0.3, 1.3)
"""Published rate over the rate at the datasheet's peaks. Above 1: Winograd needs fewer products
than the direct convolutions that are counted."""
WINOGRAD_ALONE = {"tf17-dgx1-vgg16-b64-synt-g8"}
"""At 1.33: nearly all products of VGG-16 are in 3x3 convolutions. On one device, where nothing is
exchanged, the same network is at 1.43."""


@pytest.fixture(scope="module")
def reached_frac():
    found = {}
    for row in ROWS:
        case = express(row.told)
        at_peak_s = predicted_s(case, case.machine(efficient=False))
        found[row.case_id] = at_peak_s / row.step_s(case.training.batch)
    return found


def test_every_row_has_its_source_and_can_be_expressed():
    assert len(ROWS) >= 10
    for row in ROWS:
        assert row.source
        assert express(row.told)


def test_every_run_reached_a_likely_share_of_the_peaks(reached_frac):
    least, most = REACHED_FRAC
    assert {key for key, frac in reached_frac.items() if not least <= frac <= most} == (
        WINOGRAD_ALONE
    )


def test_no_exchange_makes_a_run_slower_than_the_peaks_allow():
    """Where a run passes the likely share, its exchange is hidden behind the passes."""
    for row in ROWS:
        if row.case_id in WINOGRAD_ALONE:
            case = express(row.told)
            (own_s, after_s), *waits = bounds(case, case.machine(efficient=False))
            assert max(sum(one) for one in waits) < own_s + after_s


def test_only_networks_of_many_3x3_convolutions_pass_the_peak_of_direct_ones(reached_frac):
    past = {key for key, frac in reached_frac.items() if frac > 1}
    assert past == {"tf17-dgx1-vgg16-b64-synt-g8", "tf17-dgx1-alexnet-b512-synt-g4"}


def test_fitted_predictions_are_near():
    found = summaries(assess(ROWS))["overall"]
    assert found.coverage == 1
    assert found.median < 0.10
    assert found.p90 < 0.35


def test_no_prediction_sees_a_result():
    for row in ROWS:
        assert not {*RESULTS, *LABELS} & row.told.keys()


def test_what_is_not_stated_is_said():
    told = dict(ROWS[0].told)
    for column in ("model", "precision", "accelerator", "n_devices", "framework"):
        with pytest.raises(Unsaid, match=f"{column} is not stated"):
            express({**told, column: ""})
    with pytest.raises(Unsaid, match="accelerator 'abacus' is not built in"):
        express({**told, "accelerator": "abacus"})
    assert express({**told, "batch_per_device": ""}).assumed == {"batch_per_device": 128}


@pytest.mark.parametrize("value", ["", "?", "1e3"])
def test_whatever_a_row_says_it_is_covered_or_has_a_reason(value):
    """Every column of a run of one device and of one of several, in turn."""
    by_devices = {row.told["n_devices"] != "1": row for row in ROWS}
    assert len(by_devices) == 2
    for row in by_devices.values():
        changed = [replace(row, told={**row.told, column: value}) for column in row.told]
        for found in assess(changed):
            assert found.covered != bool(found.reason), found
