"""Sources left out: no row predicts itself, spreads hold what they say, a row helps its family."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from planner.published import spread
from planner.published.fit import PRIORS, Study, samples
from planner.published.give_back import experiment
from planner.published.leave_out import LeftOut, held_frac, refits, spread_of
from planner.published.rows import SMALL, read_rows
from planner.published.spread import CLASSES, TO_80, class_of


@pytest.fixture(scope="module")
def found():
    return refits(read_rows(SMALL))


def row(i: int, source: str, off: float, **changes) -> LeftOut:
    made = LeftOut(
        case_id=f"{source}-{i}",
        source=source,
        year="2020",
        generation="volta",
        software="pytorch-containers",
        workers=1,
        seen=True,
        published_s=float(np.exp(off)),
        fitted_s=1.0,
        left_out_s=1.0,
        apart_s=1.0,
    )
    return replace(made, **changes)


def test_a_source_is_predicted_by_a_fit_to_the_others(found):
    """Against fits written out here: the rows of the source have no part in theirs."""
    table = samples(read_rows(SMALL))
    study = Study.of(table, tomllib.loads(PRIORS.read_text(encoding="utf-8")))
    study.renew(found.logs)
    source = found.rows[0].source
    kept = [i for i, sample in enumerate(table) if sample.row.source != source]
    assert found.without[source] == pytest.approx(study.fitted(kept), abs=0.05)
    assert max(abs(found.without[source] - found.logs)) > 0.01


def test_a_row_that_is_told_otherwise_moves_no_prediction_of_its_own_source(found):
    source = found.rows[0].source
    told = [
        replace(r, samples_per_s=3 * r.samples_per_s) if r.source == source else r
        for r in read_rows(SMALL)
    ]
    again = refits(told)
    own = [i for i, r in enumerate(found.rows) if r.source == source]
    for i in own:
        assert again.rows[i].left_out_s == pytest.approx(found.rows[i].left_out_s, rel=0.02)
    assert again.rows[own[0]].fitted_s != pytest.approx(found.rows[own[0]].fitted_s, rel=0.05)


def test_a_generation_that_is_left_out_has_no_part_in_its_prediction(found):
    """Against rows of it that are told to be three times as fast."""
    rows = read_rows(SMALL)
    mine = {r.case_id for r in found.rows if r.generation == "pascal"}
    told = [replace(r, samples_per_s=3 * r.samples_per_s) if r.case_id in mine else r for r in rows]
    after = {r.case_id: r for r in refits(told).rows}
    for row in found.rows:
        if row.case_id in mine:
            assert after[row.case_id].apart_s == pytest.approx(row.apart_s, rel=0.02)
            assert after[row.case_id].fitted_s != pytest.approx(row.fitted_s, rel=0.05)


def test_one_row_given_back_moves_its_source_only(found):
    told = experiment(found)
    assert {given.source for given in told.sources} <= {r.source for r in found.rows}
    assert told.overall.choices == sum(given.choices for given in told.sources)
    assert told.overall.family_after < told.overall.family_before


def test_an_interval_holds_four_fifths_of_what_it_is_set_from():
    generator = np.random.default_rng(5)
    rows = [row(i, f"s{i % 9}", float(x)) for i, x in enumerate(generator.normal(0, 0.2, 400))]
    assert 0.79 < held_frac(rows)[0] < 0.82
    assert 0.7 < held_frac(rows)[1] < 0.9
    assert spread_of(rows).interval["seen"] == pytest.approx(0.2, rel=0.15)


def test_spreads_tell_sources_from_rows():
    """Sources lie 0.5 apart and their rows scatter by 0.05."""
    generator = np.random.default_rng(6)
    rows = [
        row(i, f"s{s}", float(centre + x))
        for s, centre in enumerate(generator.normal(0, 0.5, 60))
        for i, x in enumerate(generator.normal(0, 0.05, 10))
    ]
    found = spread_of(rows)
    assert found.between["seen"] == pytest.approx(0.5, rel=0.3)
    assert found.within["seen"] == pytest.approx(0.05, rel=0.3)


def test_a_class_of_few_rows_is_not_narrower_than_its_kin():
    rows = [row(i, f"s{i % 5}", 0.3) for i in range(40)]
    rows.append(row(99, "large", 0.01, workers=512, seen=False))
    found = spread_of(rows).interval
    assert found[class_of(seen=False, many=True)] >= found["seen"]
    assert set(found) == set(CLASSES)


def test_the_shipped_spread_is_whole(tmp_path, monkeypatch):
    shipped = spread.shipped()
    assert set(shipped.interval) == set(CLASSES)
    least, most = shipped.interval_s(1.0, "seen")
    assert least * most == pytest.approx(1.0)
    assert np.log(most) == pytest.approx(TO_80 * shipped.interval["seen"])
    monkeypatch.setattr(spread, "FILE", tmp_path / "spread.toml")
    spread.FILE.write_text(spread.written(shipped), encoding="utf-8")
    assert spread.shipped.__wrapped__() == shipped
