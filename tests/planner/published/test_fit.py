"""The arrays that constants are fitted to say what the closed form says, and how it changes."""

import tomllib

import numpy as np
import pytest

from hwprofiles.efficiency import constants
from planner.published.fit import PRIORS, Study, samples
from planner.published.predict import predicted_s
from planner.published.rows import SMALL, read_rows

NEAR = 1e-6


@pytest.fixture(scope="module")
def study():
    priors = tomllib.loads(PRIORS.read_text(encoding="utf-8"))
    return Study.of(samples(read_rows(SMALL)), priors)


def test_arrays_are_the_closed_form(study):
    logs = np.array(study.known.prior)
    table = study.table(logs)
    exact = [predicted_s(s.case, s.case.machine(table)) for s in study.found]
    assert study.predicted_s(logs) == pytest.approx(exact, rel=NEAR)


def test_bounds_taken_elsewhere_are_near(study):
    logs = np.array(study.known.prior) + 0.2
    exact = [predicted_s(s.case, s.case.machine(study.table(logs))) for s in study.found]
    assert study.predicted_s(logs) == pytest.approx(exact, rel=0.05)


def test_derivatives_are_those_of_differences(study):
    logs, step = np.array(study.known.prior), 1e-6
    _, slopes = study.ops.alone_s(logs)
    for place in range(len(logs)):
        other = logs.copy()
        other[place] += step
        found = (study.ops.alone_s(other)[0] - study.ops.alone_s(logs)[0]) / step
        assert slopes[:, place] == pytest.approx(found, rel=1e-3, abs=1e-7)


def test_a_part_of_the_runs_is_fitted_apart(study):
    """Constants of software that is left out keep their prior, and still are in the table."""
    left = study.found[0].case.stack
    kept = [i for i, s in enumerate(study.found) if s.case.stack != left]
    logs, prior = study.fitted(kept), np.array(study.known.prior)
    assert study.table(logs, kept)["stacks"][left]["products"] == pytest.approx(1.0, abs=0.03)
    before, after = (abs(np.log(study.predicted_s(x) / study.published_s)) for x in (prior, logs))
    assert np.median(after[kept]) < np.median(before[kept])


def test_the_shipped_file_has_every_constant(study):
    assert constants()["units"].keys() == study.table(np.array(study.known.prior))["units"].keys()
