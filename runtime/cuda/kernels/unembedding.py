"""Logits from the table of an embedding; arguments as in ``runtime.kernels.unembedding``."""

from typing import Any

from runtime.cuda.columns import column_sums
from runtime.cuda.engine import engine
from runtime.cuda.kernels.linear import add_bias, rows


def forward(x: Any, w: Any, *rest: Any) -> None:
    """``y = x w^T``, and ``+ b``."""
    *biases, y = rest
    engine().matmul(rows(x), w.T, rows(y))
    for b in biases:
        add_bias(y, b)


def weight_grad(x: Any, dy: Any, dw: Any, *rest: Any) -> None:
    """``dw = dy^T x``, and ``db`` = column sums of ``dy``."""
    engine().matmul(rows(dy).T, rows(x), dw)
    for db in rest:
        column_sums(rows(dy), db)


def input_grad(dy: Any, w: Any, dx: Any) -> None:
    """``dx = dy w``."""
    engine().matmul(rows(dy), w, rows(dx))
