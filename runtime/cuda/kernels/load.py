"""Records on the device to inputs and labels; arguments as in ``runtime.kernels.load``.

``fetch`` brings the bytes of the records to ``raw``; they are decoded where they are used.
"""

from collections.abc import Callable
from typing import Any

from runtime.cuda.engine import MOST_BLOCKS, dtype_of, engine
from runtime.cuda.text import THREADS, Text, each

_MAPS = each(
    "decode_maps",
    "T* x, const unsigned char* raw, A scale, long long record, long long start, long long deep,"
    " long long high, long long wide, long long channels, long long height, long long width",
    """
    const long long c = i % deep, w = i / deep % wide, h = i / deep / wide % high;
    const long long n = i / deep / wide / high;
    const long long source =
        (c / (deep / channels) * height + h / (high / height)) * width + w / (wide / width);
    x[i] = T(A(raw[n * record + start + source]) * scale);
    """,
)
_ROWS = each(
    "decode_rows",
    "T* x, const unsigned char* raw, A scale, long long record, long long start,"
    " long long features",
    "x[i] = T(A(raw[i / features * record + start + i % features]) * scale);",
)
_LABELS = each(
    "decode_labels",
    "long long* labels, const unsigned char* raw, long long record, long long label_bytes",
    "labels[i] = raw[i * record] + (label_bytes == 2 ? 256 * (long long)raw[i * record + 1] : 0);",
)
_TOKENS = each(
    "decode_tokens",
    "long long* to, const unsigned char* raw, long long record, long long first, long long count,"
    " long long item_bytes",
    """
    const unsigned char* at = raw + i / count * record + (first + i % count) * item_bytes;
    long long number = 0;
    for (long long k = item_bytes; k--;) number = number * 256 + at[k];
    to[i] = number;
    """,
)
ANY = "float32"
"""Dtype of texts that have no ``T``."""


def records(  # noqa: PLR0913 - the arguments are the tensors and attributes of the op
    x: Any,
    labels: Any,
    raw: Any,
    *,
    channels: int = 1,
    height: int = 1,
    width: int,
    full_scale: int,
    fetch: Callable[[Any], object],
) -> None:
    """Let ``fetch`` fill ``raw``; decode it to values of 0-1 at the model's size and labels."""
    fetch(raw)
    record = raw.shape[1]
    start = record - channels * height * width
    _run(_LABELS, ANY, labels.size, labels, raw, record, start)
    scale = 1 / full_scale
    if x.ndim == 2:
        _run(_ROWS, dtype_of(x), x.size, x, raw, scale, record, start, x.shape[1])
    else:
        sizes = (record, start, *x.shape[:3], channels, height, width)
        _run(_MAPS, dtype_of(x), x.size, x, raw, scale, *sizes)


def tokens(
    x: Any,
    labels: Any,
    raw: Any,
    *,
    item_bytes: int,
    shifted: int,
    fetch: Callable[[Any], object],
) -> None:
    """Let ``fetch`` fill ``raw``; decode it to numbers of tokens and labels."""
    fetch(raw)
    record, inputs = raw.shape[1], x.shape[1]
    targets = labels.size // len(labels)
    first_target, first_input = (1, 0) if shifted else (0, targets)
    _run(_TOKENS, ANY, labels.size, labels, raw, record, first_target, targets, item_bytes)
    _run(_TOKENS, ANY, x.size, x, raw, record, first_input, inputs, item_bytes)


def _run(text: Text, dtype: str, size: int, *arguments: Any) -> None:
    engine().launch(text, dtype, min(MOST_BLOCKS, -(-size // THREADS)), *arguments, size)
