"""Fully connected layer; arguments as in ``runtime.kernels.linear``."""

from typing import Any

from runtime.cuda.columns import column_sums, over, run_over
from runtime.cuda.engine import engine

_BIAS = over(
    "add_bias", "T* y, const T* b", {"level": "A(b[column])"}, "y[at] = T(A(y[at]) + level);"
)


def forward(x: Any, w: Any, b: Any, y: Any) -> None:
    """``y = x w + b``."""
    engine().matmul(rows(x), w, rows(y))
    add_bias(y, b)


def weight_grad(x: Any, dy: Any, dw: Any, db: Any) -> None:
    """``dw = x^T dy`` and ``db`` = column sums of ``dy``."""
    engine().matmul(rows(x).T, rows(dy), dw)
    column_sums(rows(dy), db)


def input_grad(dy: Any, w: Any, dx: Any) -> None:
    """``dx = dy w^T``."""
    engine().matmul(rows(dy), w.T, rows(dx))


def rows(x: Any) -> Any:
    """Return a matrix whose rows are samples or tokens."""
    return x.reshape(-1, x.shape[-1])


def add_bias(y: Any, b: Any) -> None:
    """Add ``b`` to every row of what lies in memory, rows innermost last."""
    run_over(_BIAS, y, b, rows=y.size // b.size, columns=b.size)
