"""Kernels as C++ text, one function each, for whatever compiles it: NVRTC for a GPU, or a host.

A text names its element type ``T`` and the type ``A`` that it computes in: float for halves. It
uses one dimension of blocks and threads, ``__shared__`` and ``__syncthreads()``, and no more, so
that a host compiler can run it thread by thread; ``tests/runtime/cuda_host.py`` does.
"""

import re
from dataclasses import dataclass

THREADS = 256
"""Threads of a block; texts with ``__shared__`` arrays make them this large."""
TYPES = {
    "float32": ("float", "float"),
    "float64": ("double", "double"),
    "float16": ("__half", "float"),
    "bfloat16": ("__nv_bfloat16", "float"),
}
"""By dtype: ``T`` and ``A``."""
HEADERS = {"float16": "#include <cuda_fp16.h>", "bfloat16": "#include <cuda_bf16.h>"}
INFINITY = """#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif"""
"""NVRTC has no ``math.h``."""
NARROW = 1 << 30
"""Whole numbers and elements below this may be counted in 32 bits, steps beyond the end too."""
LOOP = "for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < size;"
SUM = """
__device__ inline A block_sum(A value, A* room) {
    room[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
        __syncthreads();
    }
    A total = room[0];
    __syncthreads();
    return total;
}
"""
"""The sum over a block, the same in every thread; threads are a power of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One kernel."""

    name: str
    parameters: str
    """As C++ has them: ``const T* x, T* y, A factor``."""
    body: str
    helpers: str = ""
    is_wide: bool = False
    """Whether its whole numbers never fit 32 bits, as seeds do not."""

    def function(self, *, narrow: bool) -> tuple[str, str]:
        """Return parameters and body; ``narrow`` counts in 32 bits, which a GPU divides faster.

        Whole numbers are passed as 64 bits all the same.

        >>> each("twice", "T* y", "y[i] *= 2;").function(narrow=True)[0]
        'T* y, long long size_'
        """
        if self.is_wide or not narrow:
            return self.parameters, self.body
        numbers = re.findall(r"\blong long (\w+)", self.parameters)
        parameters = re.sub(r"\blong long (\w+)", r"long long \1_", self.parameters)
        body = re.sub(r"(?<!unsigned )\blong long\b(?!\*)", "int", self.body)
        narrowed = " ".join(f"const int {name} = (int){name}_;" for name in numbers)
        return parameters, f"{narrowed} {body}"

    def source(self, dtype: str, *, narrow: bool = False) -> str:
        """Return the whole text for elements of ``dtype``."""
        element, wide = TYPES[dtype]
        parameters, body = self.function(narrow=narrow)
        return "\n".join(
            (
                HEADERS.get(dtype, ""),
                INFINITY,
                f"typedef {element} T;",
                f"typedef {wide} A;",
                self.helpers,
                f'extern "C" __global__ void {self.name}({parameters}) {{{body}}}',
            )
        )


def each(
    name: str, parameters: str, body: str, helpers: str = "", *, is_wide: bool = False
) -> Text:
    """Return a kernel whose ``body`` does element ``i`` of ``size``.

    >>> each("twice", "const T* x, T* y", "y[i] = T(2 * A(x[i]));").parameters
    'const T* x, T* y, long long size'
    """
    loop = f"{LOOP} i += (long long)gridDim.x * blockDim.x) {{ {body} }}"
    return Text(
        name=name,
        parameters=f"{parameters}, long long size",
        body=loop,
        helpers=helpers,
        is_wide=is_wide,
    )
