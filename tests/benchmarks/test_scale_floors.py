"""Floors of what ``foreplan bench scale`` measures, on a quiet core."""

import pytest

from foreplan.bench_scale import scales
from foreplan.engine_rates import peak_bytes
from hwprofiles.units import GIB

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def found():
    return {scale.name: scale for scale in scales()}


@pytest.mark.parametrize(
    ("name", "most_s"),
    [("hierarchical:8", 1.0), ("hierarchical_halving:8", 60.0), ("resnet-50 step", 0.5)],
)
def test_seconds_from_nothing_to_the_timeline(found, name, most_s):
    assert found[name].build_s + found[name].simulate_s <= most_s


def test_memory(found):
    assert found
    assert peak_bytes() <= 5 * GIB
