"""Kept fits: the same curves to the bit, from the file if it is of these samples, else anew."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwprofiles import keptfit
from hwprofiles.fit import fit_curves
from hwprofiles.grade import Grade
from hwprofiles.keptfit import KeptFit
from tests.hwprofiles.test_fit import noisy

SAMPLES = noisy(0, count=4)


@pytest.fixture
def fits(monkeypatch):
    """How many samples were fitted, run by run."""
    found = []

    def counted(samples):
        found.append(len(samples))
        return fit_curves(samples)

    monkeypatch.setattr(keptfit, "fit_curves", counted)
    return found


@given(seed=st.integers(0, 99), count=st.integers(1, 3))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_curves_from_the_file_are_those_of_the_fit_to_the_bit(tmp_path_factory, seed, count):
    kept = KeptFit(path=tmp_path_factory.mktemp("home") / "fit.json")
    samples = noisy(seed, count)
    assert kept.curves(samples) == kept.curves(samples[::-1]) == fit_curves(samples)


def test_what_is_kept_is_not_fitted_again_and_leaves_nothing_beside_it(tmp_path, fits):
    kept = KeptFit(path=tmp_path / "fit.json")
    for _ in range(3):
        kept.curves(SAMPLES)
    demoted = [replace(sample, grade=Grade.FITTED, iqr_s=1.0) for sample in SAMPLES]
    kept.curves(demoted)
    assert fits == [len(SAMPLES)]
    assert list(tmp_path.iterdir()) == [kept.path]


@pytest.mark.parametrize("field", ["median_s", "flop", "moved_bytes", "op_class", "dtype"])
def test_another_sample_is_fitted_anew(tmp_path, fits, field):
    kept, last = KeptFit(path=tmp_path / "fit.json"), SAMPLES[-1]
    kept.curves(SAMPLES)
    value = getattr(last, field)
    changed = [*SAMPLES[:-1], replace(last, **{field: value * 2})]
    assert kept.curves(changed) == fit_curves(changed)
    assert len(fits) == 2


def test_another_law_is_fitted_anew(tmp_path, fits, monkeypatch):
    kept = KeptFit(path=tmp_path / "fit.json")
    kept.curves(SAMPLES)
    monkeypatch.setattr(keptfit, "_law_sha256", lambda: "another")
    kept.curves(SAMPLES)
    assert len(fits) == 2


@pytest.mark.parametrize("damage", ["", "{}", "[1]", "cut", "curve", "number"])
def test_a_damaged_file_is_written_over(tmp_path, fits, damage):
    kept = KeptFit(path=tmp_path / "fit.json")
    curves = kept.curves(SAMPLES)
    content = json.loads(kept.path.read_text())
    (name,) = content["curves"]
    if damage == "curve":
        content["curves"][name].pop("source")
    if damage == "number":
        content["curves"][name]["flop_per_s"] = "many"
    text = json.dumps(content)
    kept.path.write_text({"curve": text, "number": text, "cut": text[:-9]}.get(damage, damage))
    assert kept.curves(SAMPLES) == curves
    assert kept.curves(SAMPLES) == curves
    assert len(fits) == 2


def test_without_a_folder_nothing_is_kept_and_the_curves_are_there(tmp_path):
    kept = KeptFit(path=tmp_path / "none" / "fit.json")
    assert kept.curves(SAMPLES) == fit_curves(SAMPLES)
    assert not kept.path.parent.exists()
