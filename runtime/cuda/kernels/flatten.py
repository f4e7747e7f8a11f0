"""Maps to vectors, channel after channel, and back; arguments as in ``runtime.kernels.flatten``."""

from typing import Any

from runtime.cuda.engine import engine
from runtime.cuda.layout import maps


def forward(x: Any, y: Any) -> None:
    """``y[n, (c, h, w)] = x[c, h, w, n]``."""
    place = _by_channel(y, x)
    engine().copy(maps(x).transpose(0, 3, 1, 2), place)


def input_grad(dy: Any, dx: Any) -> None:
    """``dx[c, h, w, n] = dy[n, (c, h, w)]``."""
    engine().copy(_by_channel(dy, dx).transpose(0, 2, 3, 1), maps(dx))


def _by_channel(vectors: Any, x: Any) -> Any:
    """Return vectors as (n, C, H, W)."""
    return vectors.reshape(len(vectors), *x.shape[:3])
