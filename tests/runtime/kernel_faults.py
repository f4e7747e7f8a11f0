"""Kernels with a fault each, and the layers on which an oracle must see it."""

import numpy as np

from runtime.kernels import Kernel, kernel
from tests.runtime.kernel_cases import Kernels, layer
from tests.runtime.kernel_definitions import CUBIC, SLOPE
from tests.runtime.kernel_formulas import normalised


def wrong_stride(dy, w, dx, work, *, stride, tile):
    kernel("conv2d.input_grad")(dy, w, dx, work, stride=stride - 1, tile=tile)


def one_bias_gradient(x, dy, dw, db, work, **how):
    kernel("conv2d.weight_grad")(x, dy, dw, db, work, **how)
    db[:] = dy[..., 0].sum(axis=(1, 2))


def turned_kernel(x, w, b, y, work, **how):
    turned = np.ascontiguousarray(w[..., ::-1])
    kernel("conv2d.forward")(x, turned, b, y, work, **how)


def transposed_groups(dy, w, dx, work, **how):
    kernel("conv2d.input_grad")(dy, np.ascontiguousarray(w[::-1]), dx, work, **how)


def passed_below_zero(y, dy, dx):
    dx[:] = dy


def passed_to_all(x, y, dy, dx, work, **how):
    kernel("max_pool.input_grad")(x, np.full_like(y, np.inf), dy, dx, work, **how)


def without_the_mean(x, dy, w, stats, sums, dx, work, **how):
    kernel("batch_norm.input_grad")(x, dy, w, stats, 0 * sums, dx, work, **how)


def own_scale_only(x, y, scale, dy, dx, work, *, size):
    dx[:] = dy * scale**-0.75


def only_first_place(y, x1, dy, dx0, dx1):
    kernel("gate.input_grad")(y, x1, dy, dx0, dx1)
    dx1[:] = (y * dy / x1)[:, :1, :1]


def other_half(y, dy, dx):
    dx[:] = dy * y


def of_the_factor_alone(x, dy, dx, work):
    dx[:] = dy / (1 + np.exp(-x))


def turned_parts(dy, *results):
    for dx, part in zip(results, (dy[1:], dy[:1]), strict=True):
        dx[:] = part[: len(dx)]


def samples_apart(x, w, b, y, stats, work, *, group):
    stats[:] = 0
    normalised(x, w, b, y, group=1)


def low_border(x, y, **how):
    kernel("max_pool.forward")(x, y, **how)
    np.maximum(y, 0, out=y)


def no_bias(x, w, b, y):
    np.dot(x, w, out=y)


def mean_bias_gradient(x, dy, dw, db):
    kernel("linear.weight_grad")(x, dy, dw, db)
    db /= len(x)


def summed_over_nothing(x, dy, dw, *, first, tied):
    dw[:] = 0
    dw[x[:, first : first + dy.shape[1]]] = dy


def all_rows(dy, dw):
    dw[:] = dy.sum(axis=(0, 1))


def unshared_mean(x, dy, w, stats, dx):
    dx[:] = w * dy * stats[1][..., None]


def without_the_slope(x, dy, dx, work):
    dx[:] = dy * 0.5 * (1 + np.tanh(SLOPE * (x + CUBIC * x**3)))


def to_last_token(dy, dx):
    dx[:] = 0
    dx[:, -1] = dy


def picked_once(x1, dy, dx0, *, first):
    dx0[:] = 0
    for n, places in enumerate(x1[:, first : first + dy.shape[1]]):
        dx0[n, places] = dy[n]


def sees_all(x, stats, dy, dx, work, *, heads, causal):
    kernel("attention.input_grad")(x, stats, dy, dx, work, heads=heads, causal=0)


def not_hidden(x, y, stats, work, *, heads, causal):
    kernel("attention.forward")(x, y, stats, work, heads=heads, causal=0)


def without_the_cells_before(x, y, dy, w, gates, cells, *results, **how):
    kernel("lstm.weight_grad")(x, y, dy, w, gates, 0 * cells, *results, **how)


def from_the_other_end(x, w, b, y, gates, cells, work, *, reverse):
    kernel("lstm.forward")(x, w, b, y, gates, cells, work, reverse=1 - reverse)


def deviation_alone(x, w, b, y, stats):
    y[:] = w * x / x.std(axis=-1, keepdims=True) + b


def half_weights(dy, w, dx):
    kernel("linear.input_grad")(dy, w / 2, dx)


def unsquared(y, dy, dx):
    dx[:] = dy * (1 - y)


def sum_of_window(x, y, *, window):
    kernel("avg_pool.forward")(x, y, window=window)
    y *= window**2


def undivided(dy, dx, *, window):
    kernel("avg_pool.input_grad")(dy, dx, window=window)
    dx *= window**2


def unmoved_batch_axis(dy, dx):
    dx[:] = dy.reshape(dx.shape)


def gradient_of_the_sum(x, labels, dx, stats, *, batch):
    kernel("softmax_cross_entropy.forward")(x, labels, dx, stats, batch=batch)
    dx *= batch


def without_momentum(p, g, m, *, learning_rate, momentum):
    kernel("sgd.update")(p, g, m, learning_rate=learning_rate, momentum=0.0)


def decayed_with_the_gradient(p, g, m, v, *, weight_decay, **how):
    g += weight_decay * p
    kernel("adamw.update")(p, g, m, v, weight_decay=0.0, **how)


def as_in_the_first_step(p, g, m, v, *, step, **how):
    kernel("adamw.update")(p, g, m, v, step=lambda: 0, **how)


def unscaled(x, y, mask, work, *, percent, stream):
    kernel("dropout.forward")(x, y, mask, work, percent=percent, stream=stream)
    np.multiply(x, mask, out=y)


def of_the_batch_start(x, y, mask, work, *, percent, stream):
    first = stream()._replace(first=0)
    kernel("dropout.forward")(x, y, mask, work, percent=percent, stream=lambda: first)


def of_the_first_place(dy, dx, *, factor):
    dx[:] = dy[:, ::factor, ::factor]


def passed_by_the_mask(mask, dy, dx, *, percent):
    dx[:] = dy


CONV = layer("conv2d", (2, 7, 6), channels=3, kernel=2, stride=2)
LINEAR = layer("linear", (4,), features=3)
POOL = layer("avg_pool", (2, 4, 6), window=2)
PADDED = layer("conv2d", (2, 5, 5), channels=2, kernel=3, pad=1, pad_w=0, stride=1, groups=2)
MAX = layer("max_pool", (2, 5, 5), window=3, stride=2, pad=1)
NORM = layer("batch_norm", (2, 3, 2), group=2)
PAIR = layer("concat", (1, 2, 2), (1, 2, 2))
LARGER = layer("upsample", (2, 2, 3), factor=2)
WORDS = layer("embedding", (5,), vocab=2, features=2, first=1, tokens=4)
PICKED = layer("pick_tokens", (2, 3), (6,), tokens=5, first=1)
HEADS = layer("attention", (4, 12), heads=2, causal=1)
DROPOUT = layer("dropout", (3, 2, 3), percent=20)
MEMORY = layer("lstm", (3, 2), features=2, reverse=1)
GRADIENT_FAULTS = [
    (CONV, "conv2d.input_grad", wrong_stride),
    (CONV, "conv2d.weight_grad", one_bias_gradient),
    (PADDED, "conv2d.input_grad", transposed_groups),
    (LINEAR, "linear.weight_grad", mean_bias_gradient),
    (LINEAR, "linear.input_grad", half_weights),
    (layer("tanh", (5,)), "tanh.input_grad", unsquared),
    (POOL, "avg_pool.input_grad", undivided),
    (layer("flatten", (2, 3, 2)), "flatten.input_grad", unmoved_batch_axis),
    (layer("relu", (9,)), "relu.input_grad", passed_below_zero),
    (PAIR, "concat.input_grad", turned_parts),
    (LARGER, "upsample.input_grad", of_the_first_place),
    (WORDS, "embedding.weight_grad", summed_over_nothing),
    (layer("positions", (3, 2), positions=4), "positions.weight_grad", all_rows),
    (layer("gelu", (7,)), "gelu.input_grad", without_the_slope),
    (layer("first_token", (3, 2)), "first_token.input_grad", to_last_token),
    (PICKED, "pick_tokens.input_grad", picked_once),
]
ROUNDLY_COUNTED_FAULTS = [
    (MAX, "max_pool.input_grad", passed_to_all),
    (NORM, "batch_norm.input_grad", without_the_mean),
    (layer("lrn", (6, 2, 2), size=5), "lrn.input_grad", own_scale_only),
    (layer("gate", (2, 3, 3), (2, 1, 1)), "gate.input_grad", only_first_place),
    (layer("sigmoid", (5,)), "sigmoid.input_grad", other_half),
    (layer("layer_norm", (3, 4)), "layer_norm.input_grad", unshared_mean),
    (HEADS, "attention.input_grad", sees_all),
    (layer("silu", (5,)), "silu.input_grad", of_the_factor_alone),
    (MEMORY, "lstm.weight_grad", without_the_cells_before),
    (DROPOUT, "dropout.input_grad", passed_by_the_mask),
]
FORMULA_FAULTS = [
    (MAX, "max_pool.forward", low_border),
    (NORM, "batch_norm.forward", samples_apart),
    (layer("layer_norm", (3, 4)), "layer_norm.forward", deviation_alone),
    (HEADS, "attention.forward", not_hidden),
    (MEMORY, "lstm.forward", from_the_other_end),
    (DROPOUT, "dropout.forward", unscaled),
    (DROPOUT, "dropout.forward", of_the_batch_start),
]
FORWARD_FAULTS = [
    (CONV, "conv2d.forward", turned_kernel),
    (LINEAR, "linear.forward", no_bias),
    (POOL, "avg_pool.forward", sum_of_window),
]


def with_fault(name: str, fault: Kernel) -> Kernels:
    return lambda asked: fault if asked == name else kernel(asked)
