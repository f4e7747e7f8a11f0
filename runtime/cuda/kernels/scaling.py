"""The judge of a scaled loss: blocks look, one block decides; as ``runtime.kernels.scaling``."""

from typing import Any

from planner.precision import GROW_AFTER, INVERSE, LEAST_SCALE, SCALE, SINCE, SKIPPED
from runtime.cuda.engine import MOST_BLOCKS, dtype_of, engine
from runtime.cuda.text import LOOP, SUM, THREADS, Text

_LOOK = Text(
    name="look_finite",
    parameters="const T* g, A* found, long long size",
    helpers=SUM,
    body=f"""
    __shared__ A room[{THREADS}];
    A odd = 0;
    {LOOP} i += (long long)gridDim.x * blockDim.x) {{
        const A value = A(g[i]);
        if (value - value != A(0)) odd = 1;
    }}
    odd = block_sum(odd, room);
    if (threadIdx.x == 0) found[blockIdx.x] = odd;
    """,
)
_JUDGE = Text(
    name="judge",
    parameters="const A* found, A* scaling, long long blocks",
    helpers=SUM,
    body=f"""
    __shared__ A room[{THREADS}];
    A odd = 0;
    for (long long k = threadIdx.x; k < blocks; k += blockDim.x) odd += found[k];
    odd = block_sum(odd, room);
    if (threadIdx.x == 0) {{
        const bool good = odd == A(0);
        const A scale = scaling[{SCALE}], since = scaling[{SINCE}] + 1, half = scale / 2;
        const bool grows = good && since >= A({GROW_AFTER});
        scaling[{INVERSE}] = good ? 1 / scale : A(0);
        scaling[{SKIPPED}] += good ? 0 : 1;
        scaling[{SINCE}] = good && !grows ? since : A(0);
        scaling[{SCALE}] = grows ? 2 * scale : good ? scale
            : half > A({LEAST_SCALE}) ? half : A({LEAST_SCALE});
    }}
    """,
)


def judge(g: Any, scaling: Any) -> None:
    """Set ``scaling`` by whether all of ``g`` is finite."""
    blocks = min(MOST_BLOCKS, -(-g.size // THREADS))
    found = engine().scratch("judge", blocks, dtype_of(scaling))
    engine().launch(_LOOK, dtype_of(g), blocks, g, found, g.size)
    engine().launch(_JUDGE, dtype_of(g), 1, found, scaling, blocks)
