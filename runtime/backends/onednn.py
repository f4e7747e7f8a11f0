"""oneDNN, and MKL for matmuls, through PyTorch on the CPU: convolutions, pools, matmuls.

Results land in the arena: by ``out=`` where PyTorch takes it, else by a copy from an array of its
own. It also packs maps and weights into blocks of its own. None of that is in the arena.

Maps lie as (C, H, W, n). Convolution takes them as one sample of three-dimensional maps with a
kernel of R x S x 1, pooling as C samples of n channels, channels last: so nothing is transposed.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module, metadata
from typing import Any

from hwprofiles.errors import BackendUnavailable
from runtime.kernels import Array, Kernel
from runtime.kernels.conv2d import Geometry

ALLOCATES = True


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


def _convolution(g: Geometry) -> dict[str, Any]:
    return {
        "stride": [g.stride, g.stride, 1],
        "padding": [g.pad, g.pad_w, 0],
        "dilation": [1, 1, 1],
        "transposed": False,
        "output_padding": [0, 0, 0],
        "groups": g.groups,
    }


def _convolve(x: Array, w: Array, *arrays: Array, **how: int) -> None:
    """``conv2d.forward``."""
    g = Geometry(**how)
    b, y = _tensors(*arrays[:2]) if g.bias else (None, *_tensors(arrays[0]))
    maps, weights = _tensors(x, w)
    result = _torch().ops.aten.convolution(maps[None], weights[..., None], b, **_convolution(g))
    y.copy_(result[0])


def _gradients(
    dy: Any, x: Any, w: Any, biases: int, wanted: Sequence[bool], g: Geometry
) -> tuple[Any, Any, Any]:
    """Return the gradients of input, weights and biases that are wanted."""
    found: tuple[Any, Any, Any] = _torch().ops.aten.convolution_backward(
        dy[None],
        x[None],
        w[..., None],
        bias_sizes=[biases] if biases else None,
        output_mask=list(wanted),
        **_convolution(g),
    )
    return found


def _weight_gradient(x: Array, dy: Array, dw: Array, *arrays: Array, **how: int) -> None:
    """``conv2d.weight_grad``."""
    g = Geometry(**how)
    maps, gradient, result = _tensors(x, dy, dw)
    wanted = (False, True, bool(g.bias))
    _, weights, biases = _gradients(gradient, maps, result, g.bias * len(dw), wanted, g)
    result.copy_(weights[..., 0])
    if g.bias:
        _tensors(arrays[0])[0].copy_(biases)


def _input_gradient(dy: Array, w: Array, dx: Array, *work: Array, **how: int) -> None:
    """``conv2d.input_grad``."""
    del work
    gradient, weights, result = _tensors(dy, w, dx)
    wanted = (True, False, False)
    maps, _, _ = _gradients(gradient, result, weights, 0, wanted, Geometry(**how))
    result.copy_(maps[0])


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
