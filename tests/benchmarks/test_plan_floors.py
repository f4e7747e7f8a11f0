"""How long ``foreplan plan`` takes as a whole process, on a quiet core."""

import pytest

from foreplan.bench_plans import plan_times

pytestmark = pytest.mark.benchmark

MOST_S = 3.0
LARGEST = ("densenet-201", "amoebanet-d-18-256", "senet-154", "resnet-200", "inception-v4")
"""Those with most layers, of which each fits at 32 samples a device."""


@pytest.mark.parametrize("cluster", ["dgx-1-v100", "big-basin-p100", "tpu-v2-board"])
def test_seconds_of_cpu_time_of_a_plan(cluster):
    for found in plan_times(LARGEST, [cluster], 1):
        assert found.cpu_s <= MOST_S, found
