"""What of the CUDA backend can be proved without a GPU beside values: products, texts, graphs."""

import ast
import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import runtime.cuda
from runtime.cuda.device import HOLD
from runtime.cuda.gemm import NO_TRANSPOSE, Product, product
from runtime.cuda.text import TYPES
from tests.runtime.cuda_host import texts


def column_major(p: Product, b: np.ndarray, a: np.ndarray) -> np.ndarray:
    """What cuBLAS computes from flat memory and these arguments, as (batch, rows, columns)."""
    columns, rows, summed = p.sizes

    def read(flat, operation, leading, stride, shape):
        """Read (rows, columns) of a column-major matrix."""
        item = flat.itemsize
        high, wide = shape if operation == NO_TRANSPOSE else shape[::-1]
        strides = (stride * item, item, leading * item)
        found = np.lib.stride_tricks.as_strided(flat, (p.batch, high, wide), strides)
        return found if operation == NO_TRANSPOSE else found.swapaxes(1, 2)

    first = read(b, p.operations[0], p.leading[0], p.strides[0], (columns, summed))
    second = read(a, p.operations[1], p.leading[1], p.strides[1], (summed, rows))
    return (first @ second).swapaxes(1, 2)


def flat_of(x: np.ndarray) -> np.ndarray:
    return x.base.reshape(-1) if x.base is not None else x.reshape(-1)


@given(
    sides=st.tuples(*(st.integers(1, 4),) * 3),
    batch=st.integers(0, 3),
    turned=st.tuples(st.booleans(), st.booleans()),
)
def test_products_are_told_to_cublas_as_it_reads_memory(sides, batch, turned):
    rows, summed, columns = sides
    lead = (batch,) if batch else ()
    rng = np.random.default_rng(0)

    def drawn(shape, is_turned):
        if is_turned:
            return rng.normal(size=(*lead, *shape[::-1])).swapaxes(-1, -2)
        return rng.normal(size=(*lead, *shape))

    a, b = drawn((rows, summed), turned[0]), drawn((summed, columns), turned[1])
    out = np.empty((*lead, rows, columns))
    p = product(a, b, out)
    assert p.leading[2] == columns
    assert p.strides[2] == rows * columns
    got = column_major(p, flat_of(b), flat_of(a))
    np.testing.assert_allclose(got.reshape(out.shape), a @ b, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "narrow"), [*((t, True) for t in TYPES), ("bfloat16", False)])
def test_every_kernel_compiles_for_a_gpu(dtype, narrow):
    """NVRTC needs no GPU; so where CuPy and it are installed, all texts are compiled for one."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    from cupy.cuda import nvrtc

    site = Path(cupy.__file__).parents[1]
    folders = [*site.glob("nvidia/*/include"), "/usr/local/cuda/include"]
    options = ["-arch=sm_90", "--std=c++17", *(f"-I{folder}" for folder in folders)]
    for text in [*texts(), HOLD]:
        program = nvrtc.createProgram(text.source(dtype, narrow=narrow), f"{text.name}.cu", (), ())
        try:
            nvrtc.compileProgram(program, options)
        except nvrtc.NVRTCError:
            pytest.fail(f"{text.name}, {dtype}: {nvrtc.getProgramLog(program)}")


CUBLAS, TYPE = "cupy_backends.cuda.libs.cublas", "cudnn.data_type"
H100 = {"sm_version": 90, "sm_count": 132}
"""What a graph is checked for where there is no GPU to ask."""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("phase", ["forward", "weight_grad", "input_grad"])
def test_graphs_of_convolutions_are_valid(phase, dtype):
    pytest.importorskip("cudnn", reason="cuDNN Frontend is not installed")
    from runtime.cuda.graphs import Laid, convolution

    x = Laid((2, 8, 9, 9), (8 * 81, 1, 72, 8))
    w = Laid((6, 8, 3, 3), (72, 1, 24, 8))
    y = Laid((2, 6, 5, 5), (150, 1, 30, 6))
    convolution(phase, x, w, y, (2, 1, 1, 1), dtype, H100)


@pytest.mark.parametrize("phase", ["forward", "input_grad"])
def test_graphs_of_attention_are_valid(phase):
    pytest.importorskip("cudnn", reason="cuDNN Frontend is not installed")
    from runtime.cuda.graphs import attention

    attention(phase, 2, 64, 3, 16, True, "bfloat16", H100)


ROOTS = {"cupy": "cupy", "self._cupy": "cupy", "cudnn": "cudnn", "cublas": CUBLAS, "kinds": TYPE}
"""What names in the sources of the backend stand for; NCCL cannot be loaded without a driver."""


def attributes(path: Path) -> set[str]:
    """Dotted names under one of ``ROOTS`` that a source uses, written out from their module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if "(" in name:
                continue
            for root, module in ROOTS.items():
                if name.startswith(f"{root}."):
                    found.add(f"{module}:{name.removeprefix(f'{root}.')}")
    return found


@pytest.mark.parametrize("library", ["cupy", "cudnn", CUBLAS, TYPE])
def test_all_that_is_asked_of_a_library_is_there(library):
    """A name that no release in the pinned range has would show on a GPU alone."""
    root = pytest.importorskip(library.partition(".")[0], reason=f"{library} is not installed")
    module = root
    if library == CUBLAS:  # loads the library before the module
        module = importlib.import_module("cupy_backends.cuda.libs").cublas
    elif library == TYPE:
        module = root.data_type
    folder = Path(runtime.cuda.__file__).parent
    used = {name for path in folder.glob("*.py") for name in attributes(path)}
    names = [name.partition(":")[2] for name in used if name.startswith(f"{library}:")]
    assert names
    for name in names:
        value = module
        for part in name.split("."):
            assert hasattr(value, part), f"{library} has no {name}"
            value = getattr(value, part)
