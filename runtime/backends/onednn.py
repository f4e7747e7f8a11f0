"""oneDNN, and MKL for matmuls, through PyTorch on the CPU: convolutions, pools, matmuls.

Results land in the arena: by ``out=`` where PyTorch takes it, else by a copy from an array of its
own. It also packs maps and weights into blocks of its own. None of that is in the arena.

Maps lie as (C, H, W, n). Pooling takes them as C samples of n channels, channels last, and
convolution as one sample of three-dimensional maps with a kernel of R x S x 1: so nothing is
turned. Small maps are turned all the same (``SMALL``).
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Any

from hwprofiles.errors import BackendUnavailable
from runtime.kernels import Array, Kernel
from runtime.kernels.conv2d import Geometry

ALLOCATES = True
SMALL = 1 << 15
"""Elements of one sample's maps below which a convolution turns them into PyTorch's order.

On one core of a Sapphire Rapids Xeon, 64 maps of 16 x 16 took 54 ms as they lie and 13 ms turned,
64 of 28 x 28 17 ms and 24 ms.
"""


def library() -> str:
    """Return PyTorch and its version."""
    try:
        return f"PyTorch {metadata.version('torch')}"
    except metadata.PackageNotFoundError as error:
        raise BackendUnavailable(
            "backend 'onednn': expected PyTorch, got no package torch; pip install"
            " 'foreplan[oracle]', or leave the backend out"
        ) from error


@cache
def _torch() -> Any:
    """Return PyTorch set to one thread, for a worker is one lane."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    return torch


def _tensors(*arrays: Array) -> list[Any]:
    """Return tensors that share the bytes of arrays."""
    return [_torch().from_numpy(array) for array in arrays]


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution as PyTorch takes it: of maps as they lie, or turned."""

    g: Geometry
    is_turned: bool

    @classmethod
    def of(cls, x: Array, how: dict[str, int]) -> "_Convolution":
        """Return that of maps (C, H, W, n)."""
        return cls(Geometry(**how), x[..., 0].size < SMALL)

    def maps(self, array: Array) -> Any:
        """Return maps as the samples that are convolved."""
        (tensor,) = _tensors(array)
        return tensor.permute(3, 0, 1, 2).contiguous() if self.is_turned else tensor[None]

    def store(self, maps: Any, array: Array) -> None:
        """Copy what a convolution gives to where it belongs."""
        (tensor,) = _tensors(array)
        tensor.copy_(maps.permute(1, 2, 3, 0) if self.is_turned else maps[0])

    def weights(self, array: Array) -> Any:
        """Return weights (K, C / G, R, S) as those maps take them."""
        (tensor,) = _tensors(array)
        return tensor if self.is_turned else tensor[..., None]

    @property
    def how(self) -> dict[str, Any]:
        """All that a convolution is told."""
        sides = 2 if self.is_turned else 3
        return {
            "stride": [self.g.stride, self.g.stride, 1][:sides],
            "padding": [self.g.pad, self.g.pad_w, 0][:sides],
            "dilation": [1] * sides,
            "transposed": False,
            "output_padding": [0] * sides,
            "groups": self.g.groups,
        }


def _convolve(x: Array, w: Array, *arrays: Array, **how: int) -> None:
    """``conv2d.forward``."""
    c = _Convolution.of(x, how)
    biases, y = (_tensors(arrays[0])[0], arrays[1]) if c.g.bias else (None, arrays[0])
    convolution = _torch().ops.aten.convolution
    c.store(convolution(c.maps(x), c.weights(w), biases, **c.how), y)


def _weight_gradient(x: Array, dy: Array, dw: Array, *arrays: Array, **how: int) -> None:
    """``conv2d.weight_grad``."""
    c = _Convolution.of(x, how)
    _, weights, biases = _torch().ops.aten.convolution_backward(
        c.maps(dy),
        c.maps(x),
        c.weights(dw),
        bias_sizes=[len(dw)] if c.g.bias else None,
        output_mask=[False, True, bool(c.g.bias)],
        **c.how,
    )
    c.weights(dw).copy_(weights)
    if c.g.bias:
        _tensors(arrays[0])[0].copy_(biases)


def _input_gradient(dy: Array, w: Array, dx: Array, *work: Array, **how: int) -> None:
    """``conv2d.input_grad``."""
    del work
    c = _Convolution.of(dx, how)
    maps, _, _ = _torch().ops.aten.convolution_backward(
        c.maps(dy),
        c.maps(dx),
        c.weights(w),
        bias_sizes=None,
        output_mask=[True, False, False],
        **c.how,
    )
    c.store(maps, dx)


def _pooled(*arrays: Array) -> list[Any]:
    """Return maps as C samples of n channels, channels last."""
    return [tensor.permute(0, 3, 1, 2) for tensor in _tensors(*arrays)]


def _window(window: int, stride: int = 0, pad: int = 0) -> list[list[int]]:
    return [[window, window], [stride or window] * 2, [pad, pad]]


def _largest(x: Array, y: Array, *, ceil: int = 0, **how: int) -> None:
    """``max_pool.forward``."""
    maps, result = _pooled(x, y)
    found, _ = _torch().ops.aten.max_pool2d_with_indices(maps, *_window(**how), [1, 1], bool(ceil))
    result.copy_(found)


def _to_largest(
    x: Array, y: Array, dy: Array, dx: Array, work: Array, *, ceil: int = 0, **how: int
) -> None:
    """``max_pool.input_grad``: where the largest are is found anew, for it is not kept."""
    del y, work
    maps, gradient, result = _pooled(x, dy, dx)
    aten, where = _torch().ops.aten, (*_window(**how), [1, 1], bool(ceil))
    _, places = aten.max_pool2d_with_indices(maps, *where)
    result.copy_(aten.max_pool2d_with_indices_backward(gradient, maps, *where, places))


def _mean(x: Array, y: Array, **how: int) -> None:
    """``avg_pool.forward``."""
    maps, result = _pooled(x, y)
    result.copy_(_torch().ops.aten.avg_pool2d(maps, *_window(**how)))


def _to_all(dy: Array, dx: Array, **how: int) -> None:
    """``avg_pool.input_grad``."""
    gradient, result = _pooled(dy, dx)
    spread = _torch().ops.aten.avg_pool2d_backward
    result.copy_(spread(gradient, result, *_window(**how), False, True, None))


def _rows(*arrays: Array) -> list[Any]:
    """Return arrays of tokens as matrices."""
    return [tensor.flatten(0, -2) for tensor in _tensors(*arrays)]


def _linear(x: Array, w: Array, b: Array, y: Array) -> None:
    """``linear.forward``."""
    (inputs, result), (weights, biases) = _rows(x, y), _tensors(w, b)
    _torch().addmm(biases, inputs, weights, out=result)


def _linear_weights(x: Array, dy: Array, dw: Array, db: Array) -> None:
    """``linear.weight_grad``."""
    (inputs, gradient), (weights, biases) = _rows(x, dy), _tensors(dw, db)
    _torch().mm(inputs.T, gradient, out=weights)
    _torch().sum(gradient, 0, out=biases)


def _linear_inputs(dy: Array, w: Array, dx: Array) -> None:
    """``linear.input_grad``."""
    (gradient, result), (weights,) = _rows(dy, dx), _tensors(w)
    _torch().mm(gradient, weights.T, out=result)


def _logits(x: Array, w: Array, *rest: Array) -> None:
    """``unembedding.forward``."""
    *biases, y = rest
    (inputs, result), (weights, *added) = _rows(x, y), _tensors(w, *biases)
    _torch().mm(inputs, weights.T, out=result)
    for b in added:
        result.add_(b)


def _logits_weights(x: Array, dy: Array, dw: Array, *rest: Array) -> None:
    """``unembedding.weight_grad``."""
    (inputs, gradient), (weights, *biases) = _rows(x, dy), _tensors(dw, *rest)
    _torch().mm(gradient.T, inputs, out=weights)
    for db in biases:
        _torch().sum(gradient, 0, out=db)


def _logits_inputs(dy: Array, w: Array, dx: Array) -> None:
    """``unembedding.input_grad``."""
    (gradient, result), (weights,) = _rows(dy, dx), _tensors(w)
    _torch().mm(gradient, weights, out=result)


KERNELS: dict[str, Kernel] = {
    "conv2d.forward": _convolve,
    "conv2d.weight_grad": _weight_gradient,
    "conv2d.input_grad": _input_gradient,
    "max_pool.forward": _largest,
    "max_pool.input_grad": _to_largest,
    "avg_pool.forward": _mean,
    "avg_pool.input_grad": _to_all,
    "linear.forward": _linear,
    "linear.weight_grad": _linear_weights,
    "linear.input_grad": _linear_inputs,
    "unembedding.forward": _logits,
    "unembedding.weight_grad": _logits_weights,
    "unembedding.input_grad": _logits_inputs,
}
