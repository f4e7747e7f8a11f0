"""oneDNN, and MKL for matmuls, through PyTorch on the CPU: convolutions, pools, matmuls.

Results land in the arena: by ``out=`` where PyTorch takes it, else by a copy from an array of its
own. It also packs maps and weights into blocks of its own. None of that is in the arena.

Maps lie as (C, H, W, n). Pooling takes them as C samples of n channels, channels last, and
convolution as one sample of three-dimensional maps with a kernel of R x S x 1: so nothing is
turned. Convolutions of small maps (``SMALL``) and gradients of pools are NumPy's, which is faster.
"""

from functools import cache
from importlib import import_module, metadata
from typing import Any

from hwprofiles.errors import BackendUnavailable
from runtime.kernels import Array, Kernel, kernel
from runtime.kernels.conv2d import Geometry

ALLOCATES = True
SMALL = 1 << 15
"""Elements of one sample's maps below which a convolution is NumPy's.

On one core of a Sapphire Rapids Xeon, 64 maps of 16 x 16 took 54 ms as they lie and 13 ms turned
into PyTorch's order, a tenth more than NumPy's kernel takes; 16 of 32 x 32, turned, three times as
long as it.
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


def _how(g: Geometry) -> dict[str, Any]:
    """Return all that PyTorch's convolution is told beside its arrays."""
    return {
        "stride": [g.stride, g.stride, 1],
        "padding": [g.pad, g.pad_w, 0],
        "dilation": [1] * 3,
        "transposed": False,
        "output_padding": [0] * 3,
        "groups": g.groups,
    }


def _is_small(maps: Array) -> bool:
    return maps[..., 0].size < SMALL


def _convolve(x: Array, w: Array, *arrays: Array, **how: int) -> None:
    """``conv2d.forward``."""
    if _is_small(x):
        kernel("conv2d.forward")(x, w, *arrays, **how)
        return
    g, (maps, weights, *rest) = Geometry(**how), _tensors(x, w, *arrays)
    biases, result = rest[:2] if g.bias else (None, rest[0])
    convolution = _torch().ops.aten.convolution
    result.copy_(convolution(maps[None], weights[..., None], biases, **_how(g))[0])


def _weight_gradient(x: Array, dy: Array, dw: Array, *arrays: Array, **how: int) -> None:
    """``conv2d.weight_grad``."""
    if _is_small(x):
        kernel("conv2d.weight_grad")(x, dy, dw, *arrays, **how)
        return
    g, (maps, gradient, result, *rest) = Geometry(**how), _tensors(x, dy, dw, *arrays)
    _, weights, biases = _torch().ops.aten.convolution_backward(
        gradient[None],
        maps[None],
        result[..., None],
        bias_sizes=[len(dw)] if g.bias else None,
        output_mask=[False, True, bool(g.bias)],
        **_how(g),
    )
    result.copy_(weights[..., 0])
    if g.bias:
        rest[0].copy_(biases)


def _input_gradient(dy: Array, w: Array, dx: Array, *work: Array, **how: int) -> None:
    """``conv2d.input_grad``."""
    if _is_small(dx):
        kernel("conv2d.input_grad")(dy, w, dx, *work, **how)
        return
    gradient, weights, result = _tensors(dy, w, dx)
    maps, _, _ = _torch().ops.aten.convolution_backward(
        gradient[None],
        result[None],
        weights[..., None],
        bias_sizes=None,
        output_mask=[True, False, False],
        **_how(Geometry(**how)),
    )
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


def _mean(x: Array, y: Array, **how: int) -> None:
    """``avg_pool.forward``."""
    maps, result = _pooled(x, y)
    result.copy_(_torch().ops.aten.avg_pool2d(maps, *_window(**how)))


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
    "avg_pool.forward": _mean,
    "linear.forward": _linear,
    "linear.weight_grad": _linear_weights,
    "linear.input_grad": _linear_inputs,
    "unembedding.forward": _logits,
    "unembedding.weight_grad": _logits_weights,
    "unembedding.input_grad": _logits_inputs,
}
