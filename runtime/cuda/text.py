"""Kernels as C++ text, one function each, for whatever compiles it: NVRTC for a GPU, or a host.

A text names its element type ``T`` and the type ``A`` that it computes in: float for halves. It
uses one dimension of blocks and threads, ``__shared__`` and ``__syncthreads()``, and no more, so
that a host compiler can run it thread by thread; ``tests/runtime/cuda_host.py`` does.
"""

import re
from dataclasses import dataclass, replace
from functools import cache

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
WIDE = "16 / (int)sizeof(T)"
"""Elements of a thread's access where it may move 16 bytes at once."""
PACK_BYTES = 16
PACK = """
template <class E> struct alignas(sizeof(E) * PACK < 16 ? sizeof(E) * PACK : 16) Pack {
    E v[PACK];
};
"""
LOOP = "for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < size;"
STEP = "(long long)gridDim.x * blockDim.x"
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
    pack: str = ""
    """Elements that a thread reads and writes at once, ``PACK``; empty where the body has none."""

    @property
    def before(self) -> str:
        """What stands before the function."""
        return (
            f"constexpr int PACK = {self.pack};{PACK}{self.helpers}" if self.pack else self.helpers
        )

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
                self.before,
                f'extern "C" __global__ void {self.name}({parameters}) {{{body}}}',
            )
        )


@cache
def widened(text: Text) -> Text:
    """Return the text whose packs are of 16 bytes; what they are read from must begin so."""
    return replace(text, name=f"{text.name}_wide", pack=WIDE)


def each(
    name: str,
    parameters: str,
    body: str,
    helpers: str = "",
    *,
    is_wide: bool = False,
    packs: bool = False,
    by_pack: bool = False,
) -> Text:
    """Return a kernel whose ``body`` does element ``i`` of ``size``.

    With ``packs`` the body names arrays at ``[i]`` alone, or not by ``i``; a thread then reads and
    writes as many elements at once as its ``pack`` says. With ``by_pack`` the elements are packs,
    and all that is the body's own matter.

    >>> each("twice", "const T* x, T* y", "y[i] = T(2 * A(x[i]));").parameters
    'const T* x, T* y, long long size'
    """
    loop = f"{LOOP} i += {STEP}) {{ {body} }}"
    if packs:
        read, inner, written = packed(parameters, body, "i", "from")
        loop = f"""
    const long long packs = size / PACK, place = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    for (long long at_pack = place; at_pack < packs; at_pack += {STEP}) {{
        const long long from = at_pack * PACK;
        {read}
        #pragma unroll
        for (int k = 0; k < PACK; k++) {{ const long long i = from + k; {inner} }}
        {written}
    }}
    for (long long i = packs * PACK + place; i < size; i += {STEP}) {{ {body} }}
    """
    return Text(
        name=name,
        parameters=f"{parameters}, long long size",
        body=loop,
        helpers=helpers,
        is_wide=is_wide,
        pack="1" if packs or by_pack else "",
    )


def packed(parameters: str, body: str, index: str, start: str) -> tuple[str, str, str]:
    """Return what reads packs, the body on element ``k`` of them, and what writes them.

    Arrays that the body names at ``[index]`` are read and written from ``start`` on.

    >>> packed("const T* x, T* y", "y[i] = x[i];", "i", "from")[1]
    'y_.v[k] = x_.v[k];'
    """
    read, written = [], []
    for parameter in parameters.split(","):
        kind, _, name = parameter.strip().rpartition(" ")
        places = list(re.finditer(rf"\b{name}\[{index}\]", body))
        if not kind.endswith("*") or not places:
            continue
        of = f"Pack<{kind.removeprefix('const ').removesuffix('*')}>"
        ahead, behind = body[: places[0].start()], body[places[0].end() :]
        is_set = re.match(r"\s*=[^=]", behind) and ahead.count("{") == ahead.count("}")
        if kind.startswith("const ") or len(places) > 1 or not is_set:
            read.append(f"{of} {name}_ = *(const {of}*)({name} + {start});")
        else:
            read.append(f"{of} {name}_;")
        if not kind.startswith("const "):
            written.append(f"*({of}*)({name} + {start}) = {name}_;")
        body = re.sub(rf"\b{name}\[{index}\]", f"{name}_.v[k]", body)
    return " ".join(read), body, " ".join(written)
