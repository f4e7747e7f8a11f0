"""Long short-term memory, a product and a kernel a token; arguments as in ``runtime.kernels.lstm``.

The product of a token goes to workspace; one kernel makes gates, cell and output of it.
"""

from typing import Any

from runtime.cuda.columns import column_sums
from runtime.cuda.engine import dtype_of, engine, run
from runtime.cuda.kernels.linear import rows
from runtime.cuda.text import each
from runtime.kernels.lstm import NONE, order

_SIZES = "long long tokens, long long features, long long t, long long before"
_PLACE = """
    const long long k = i / features, e = i % features, row = k * tokens + t;
    const long long at = 4 * row * features + e, from = 4 * k * features + e;
    const long long cell = row * features + e, last = (k * tokens + before) * features + e;
"""
_FORWARD = each(
    "lstm",
    f"const T* z, const T* b, T* y, T* gates, T* cells, {_SIZES}",
    f"""
    {_PLACE}
    A now[4];
    for (int p = 0; p < 4; p++) {{
        const long long q = p * features;
        now[p] = A(gates[at + q]) + A(b[q + e]);
        if (before >= 0) now[p] += A(z[from + q]);
        now[p] = p < 3 ? (1 + tanh(now[p] / 2)) / 2 : tanh(now[p]);
        gates[at + q] = T(now[p]);
    }}
    A c = now[0] * now[3];
    if (before >= 0) c += now[1] * A(cells[last]);
    cells[cell] = T(c);
    y[cell] = T(now[2] * tanh(c));
    """,
)
_BACK = each(
    "lstm_grad",
    "T* z, const T* given, A* carried, const T* dy, const T* gates, const T* cells, T* dgates,"
    f" long long later, {_SIZES}",
    f"""
    {_PLACE}
    const A in = A(gates[at]), f = A(gates[at + features]), o = A(gates[at + 2 * features]);
    const A g = A(gates[at + 3 * features]), wave = tanh(A(cells[cell]));
    A dh = A(dy[cell]), dc = 0;
    if (later) {{
        dh += A(given[i]);
        dc = carried[i];
    }}
    dc += dh * o * (1 - wave * wave);
    carried[i] = dc * f;
    const A c = before >= 0 ? A(cells[last]) : A(0);
    const A parts[4] = {{
        dc * g * in * (1 - in), dc * c * f * (1 - f), dh * wave * o * (1 - o), dc * in * (1 - g * g)
    }};
    for (int p = 0; p < 4; p++) {{
        z[from + p * features] = T(parts[p]);
        dgates[at + p * features] = T(parts[p]);
    }}
    """,
)


def forward(  # noqa: PLR0913, the tensors of the op
    x: Any, w: Any, b: Any, y: Any, gates: Any, cells: Any, work: Any, reverse: int = 0
) -> None:
    """Write outputs, and the gates and cells of every token."""
    del work
    inputs, (samples, tokens, features) = x.shape[2], y.shape
    engine().matmul(rows(x), w[:inputs], rows(gates))
    z = _room("z", y, 4 * features)
    for t, before in order(tokens, reverse):
        if before != NONE:
            engine().matmul(y[:, before], w[inputs:], z)
        sizes = (tokens, features, t, before)
        run(_FORWARD, z, b, y, gates, cells, *sizes, size=samples * features)


def weight_grad(  # noqa: PLR0913, the tensors of the op
    x: Any,
    y: Any,
    dy: Any,
    w: Any,
    gates: Any,
    cells: Any,
    dw: Any,
    db: Any,
    dgates: Any,
    work: Any,
    reverse: int = 0,
) -> None:
    """Write the gradients of what gates are the functions of, and from them ``dw`` and ``db``."""
    del work
    inputs, (samples, tokens, features) = x.shape[2], y.shape
    z, given = _room("z", y, 4 * features), _room("given", y, features)
    wide = "float64" if dtype_of(y) == "float64" else "float32"
    carried = engine().scratch("lstm.carried", samples * features, wide)
    for later, (t, before) in enumerate(reversed(list(order(tokens, reverse)))):
        sizes = (int(later > 0), tokens, features, t, before)
        arrays = (z, given, carried, dy, gates, cells, dgates)
        run(_BACK, *arrays, *sizes, size=samples * features)
        if before != NONE:
            engine().matmul(z, w[inputs:].T, given)
    flat, outputs = rows(dgates), rows(y)
    engine().matmul(rows(x).T, flat, dw[:inputs])
    column_sums(flat, db)
    if samples * tokens == 1:
        engine().clear(dw[inputs:])
        return
    first = dgates[:, -1 if reverse else 0]  # has another sample's token before it in memory
    engine().copy(first, z)
    engine().clear(first)
    pair = (outputs[1:], flat[:-1]) if reverse else (outputs[:-1], flat[1:])
    engine().matmul(pair[0].T, pair[1], dw[inputs:])
    engine().copy(z, first)


def input_grad(dgates: Any, w: Any, dx: Any, reverse: int = 0) -> None:
    """``dx = dgates w[:F]^T``."""
    del reverse
    engine().matmul(rows(dgates), w[: dx.shape[2]].T, rows(dx))


def _room(name: str, y: Any, width: int) -> Any:
    """Return workspace (n, width)."""
    room = engine().scratch(f"lstm.{name}", len(y) * width, dtype_of(y))
    return room.reshape(len(y), width)
