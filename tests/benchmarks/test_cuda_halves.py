"""The kernels of the CUDA backend in float32 and in halves, counting in 64 bits; opt-in."""

import numpy as np
import pytest

from runtime.cuda.engine import using
from tests.runtime.cuda_host import HostEngine, texts
from tests.runtime.test_cuda_kernels import (
    CASES,
    Device,
)
from tests.runtime.test_cuda_kernels import (
    test_a_kernel_gives_what_its_numpy_twin_gives as check,
)

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_narrow_kernels_give_what_numpy_gives_in_float64(dtype, tmp_path):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    device = Device(np, dtype, np.asarray)
    with using(HostEngine(texts(), dtype, tmp_path, narrow=False)):
        for call in CASES.values():
            check(call, device)
