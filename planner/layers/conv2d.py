"""Convolution without padding, as one matmul over gathered columns (im2col).

The columns ``cols[c, i, j, p, q, n] = x[c, p s + i, q s + j, n]`` are written by the forward pass
and kept for the weight gradient. Source of the method: Chellapilla, Puri and Simard, ICFHR 2006.
"""

from planner.model import Layer, Shape
from planner.opcall import OpCall, Tensor


def out_shape(in_shape: Shape, *, channels: int, kernel: int, stride: int = 1) -> Shape:
    """Return ``(channels, P, Q)`` of the output maps."""
    _, height, width = in_shape
    return (channels, (height - kernel) // stride + 1, (width - kernel) // stride + 1)


def parameters(in_shape: Shape, *, channels: int, kernel: int, stride: int = 1) -> dict[str, Shape]:
    """Weights ``(K, C, R, S)`` and one bias a map."""
    return {"w": (channels, in_shape[0], kernel, kernel), "b": (channels,)}


def _columns(layer: Layer, samples: int, dtype: str, name: str) -> Tensor:
    kernel, (_, rows, columns) = dict(layer.attrs)["kernel"], layer.out_shape
    shape = (layer.in_shape[0], kernel, kernel, rows, columns, samples)
    return Tensor(name=name, shape=shape, dtype=dtype)


def _call(layer: Layer, samples: int, dtype: str, phase: str, names: tuple[str, str]) -> OpCall:
    """Return the call whose arguments are named; all three phases do the same multiply-adds."""
    reads, writes = (
        tuple(
            _columns(layer, samples, dtype, name)
            if name.endswith("cols")
            else layer.tensor(name, samples, dtype)
            for name in side.split()
        )
        for side in names
    )
    _, rows, columns = layer.out_shape
    weights = layer.tensor("w", samples, dtype).elements
    stride = dict(layer.attrs).get("stride", 1)
    return OpCall(
        kernel=f"conv2d.{phase}",
        op_class=f"conv2d_{phase}",
        dtype=dtype,
        flop=2 * samples * rows * columns * weights,
        reads=reads,
        writes=writes,
        attrs=(("stride", stride),) if phase != "weight_grad" else (),
    )


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """Gather columns, then ``y = w cols + b``."""
    return _call(layer, samples, dtype, "forward", ("x w b", "y cols"))


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dw = dy cols^T``, ``db`` = sums of ``dy``."""
    return _call(layer, samples, dtype, "weight_grad", ("cols dy", "dw db"))


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dcols = w^T dy``, scattered back onto ``dx`` (col2im); ``dcols`` is workspace."""
    return _call(layer, samples, dtype, "input_grad", ("dy w", "dx dcols"))
