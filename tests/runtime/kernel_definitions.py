"""Oracle 1: the definitions of kernels, in loops over numbers that count their arithmetic."""

import math

import numpy as np

from runtime.kernels import Kernel

Tally = list[int]


class Counting:
    """A float that adds 1 to ``tally`` with every operation on it."""

    def __init__(self, value: float, tally: Tally) -> None:
        self.value, self.tally = value, tally

    def _counted(self, value: float) -> "Counting":
        self.tally[0] += 1
        return Counting(value, self.tally)

    def __float__(self) -> float:
        return self.value

    def __add__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value + float(other))

    def __sub__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value - float(other))

    def __rsub__(self, other: float) -> "Counting":
        return self._counted(other - self.value)

    def __mul__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value * float(other))

    def __truediv__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value / float(other))

    def tanh(self) -> "Counting":
        return self._counted(math.tanh(self.value))

    def maximum(self, other: float) -> "Counting":
        return self._counted(max(self.value, other))

    def sqrt(self) -> "Counting":
        return self._counted(math.sqrt(self.value))

    def exp(self) -> "Counting":
        return self._counted(math.exp(self.value))

    __radd__, __rmul__ = __add__, __mul__


def bordered(x, pad, pad_w):
    """Return maps with zeros around them that count too."""
    channels, height, width, samples = x.shape
    shape = (channels, height + 2 * pad, width + 2 * pad_w, samples)
    whole = np.full(shape, Counting(0.0, x.flat[0].tally), object)
    whole[:, pad : pad + height, pad_w : pad_w + width] = x
    return whole


def products(w, y, *, stride, groups):
    """Yield (index of y, of w and of the bordered x) of every multiply-add."""
    maps, channels, *_ = w.shape
    for k, p, q, n in np.ndindex(y.shape):
        first = k // (maps // groups) * channels
        for c, i, j in np.ndindex(w.shape[1:]):
            yield (k, p, q, n), (k, c, i, j), (first + c, p * stride + i, q * stride + j, n)


def conv2d_forward(x, w, *results, stride, pad=0, pad_w=0, groups=1, tile=0, bias=1):
    x, y = bordered(x, pad, pad_w), results[-1]
    for k in range(len(y)):
        y[k] = results[0][k] if bias else 0.0
    for at, weight, place in products(w, y, stride=stride, groups=groups):
        y[at] += w[weight] * x[place]


def conv2d_weight_grad(x, dy, dw, *results, stride, pad=0, pad_w=0, groups=1, tile=0, bias=1):
    x, dw[:] = bordered(x, pad, pad_w), 0.0
    for at, weight, place in products(dw, dy, stride=stride, groups=groups):
        dw[weight] += dy[at] * x[place]
    if bias:  # outside the multiply-adds that are declared
        results[0][:] = dy.astype(float).sum(axis=(1, 2, 3))


def conv2d_input_grad(dy, w, dx, *, stride, pad=0, pad_w=0, groups=1, tile=0, bias=1):
    channels, height, width, samples = dx.shape
    whole = np.zeros((channels, height + 2 * pad, width + 2 * pad_w, samples), object)
    for at, weight, place in products(w, dy, stride=stride, groups=groups):
        whole[place] += w[weight] * dy[at]
    dx[:] = whole[:, pad : pad + height, pad_w : pad_w + width]


def in_rows(*arrays):
    return [array.reshape(-1, array.shape[-1]) for array in arrays]


def linear_forward(x, w, b, y):
    x, y = in_rows(x, y)
    for n, g in np.ndindex(y.shape):
        y[n, g] = b[g]
        for f in range(len(w)):
            y[n, g] += x[n, f] * w[f, g]


def linear_weight_grad(x, dy, dw, db):
    x, dy = in_rows(x, dy)
    dw[:] = 0.0
    for f, g in np.ndindex(dw.shape):
        for n in range(len(x)):
            dw[f, g] += x[n, f] * dy[n, g]
    db[:] = dy.astype(float).sum(axis=0)  # outside the multiply-adds that are declared


def linear_input_grad(dy, w, dx):
    dy, dx = in_rows(dy, dx)
    dx[:] = 0.0
    for n, f in np.ndindex(dx.shape):
        for g in range(dy.shape[1]):
            dx[n, f] += dy[n, g] * w[f, g]


def unembedding_forward(x, w, *rest):
    linear_forward(x, w.T, rest[0] if len(rest) > 1 else np.zeros(len(w)), rest[-1])


def unembedding_weight_grad(x, dy, dw, *rest):
    linear_weight_grad(x, dy, dw.T, rest[0] if rest else np.empty(len(dw)))


def unembedding_input_grad(dy, w, dx):
    linear_input_grad(dy, w.T, dx)


def embedding_forward(x, w, y, *, first):
    for n, s in np.ndindex(y.shape[:2]):
        y[n, s] = w[x[n, first + s]]


def embedding_weight_grad(x, dy, dw, *, first, tied):
    dw[:] = 0.0
    for n, s in np.ndindex(dy.shape[:2]):
        dw[x[n, first + s]] += dy[n, s]


def positions_forward(x, w, y):
    for n, s, f in np.ndindex(y.shape):
        y[n, s, f] = x[n, s, f] + w[s, f]


def positions_weight_grad(dy, dw):
    dw[:] = 0.0
    for n, s, f in np.ndindex(dy.shape):
        dw[s, f] += dy[n, s, f]


def pick_tokens_forward(x0, x1, y, *, first):
    for n, m in np.ndindex(y.shape[:2]):
        y[n, m] = x0[n, x1[n, first + m]]


def pick_tokens_input_grad(x1, dy, dx0, *, first):
    dx0[:] = 0.0
    for n, m in np.ndindex(dy.shape[:2]):
        dx0[n, x1[n, first + m]] += dy[n, m]


def first_token_forward(x, y):
    y[:] = x[:, 0]


def first_token_input_grad(dy, dx):
    dx[:] = 0.0
    dx[:, 0] = dy


CUBIC, SLOPE = 0.044715, math.sqrt(2 / math.pi)


def gelu_forward(x, y):
    for at in np.ndindex(x.shape):
        t = ((x[at] * x[at] * (CUBIC * SLOPE) + SLOPE) * x[at]).tanh()
        y[at] = (t + 1.0) * 0.5 * x[at]


def gelu_input_grad(x, dy, dx):
    for at in np.ndindex(x.shape):
        square = x[at] * x[at]
        t = ((square * (CUBIC * SLOPE) + SLOPE) * x[at]).tanh()
        slope = (square * (3 * CUBIC * SLOPE) + SLOPE) * x[at]
        dx[at] = (slope * (1 - t * t) + t + 1.0) * 0.5 * dy[at]


def tanh_forward(x, y):
    for at in np.ndindex(x.shape):
        y[at] = x[at].tanh()


def tanh_input_grad(y, dy, dx):
    for at in np.ndindex(y.shape):
        dx[at] = dy[at] * (1 - y[at] * y[at])


def relu_forward(x, y):
    for at in np.ndindex(x.shape):
        y[at] = x[at].maximum(0.0)


def relu_input_grad(y, dy, dx):
    for at in np.ndindex(y.shape):
        dx[at] = dy[at] * float(float(y[at]) > 0)


def add_forward(first, *others):
    *others, y = others
    for at in np.ndindex(y.shape):
        y[at] = sum((other[at] for other in others), start=first[at])


def concat_forward(*arrays):
    *inputs, y = arrays
    y[:] = np.concatenate(inputs, axis=0 if y.ndim == 4 else -1)


def concat_input_grad(dy, *results):
    axis, first = 0 if dy.ndim == 4 else -1, 0
    for dx in results:
        dx[:] = dy.take(range(first, first + dx.shape[axis]), axis)
        first += dx.shape[axis]


def upsample_forward(x, y, *, factor):
    for c, p, q, n in np.ndindex(y.shape):
        y[c, p, q, n] = x[c, p // factor, q // factor, n]


def upsample_input_grad(dy, dx, *, factor):
    for c, h, w, n in np.ndindex(dx.shape):
        rows, columns = (slice(i * factor, (i + 1) * factor) for i in (h, w))
        first, *others = dy[c, rows, columns, n].flat
        dx[c, h, w, n] = sum(others, start=first)


def avg_pool_forward(x, y, *, window):
    for c, p, q, n in np.ndindex(y.shape):
        first, *others = x[c, p * window : (p + 1) * window, q * window : (q + 1) * window, n].flat
        y[c, p, q, n] = sum(others, start=first) * window**-2


def avg_pool_input_grad(dy, dx, *, window):
    dx[:] = 0.0
    for c, p, q, n in np.ndindex(dy.shape):
        for i, j in np.ndindex(window, window):
            dx[c, p * window + i, q * window + j, n] = dy[c, p, q, n] * window**-2


def flatten_forward(x, y):
    for n in range(len(y)):
        y[n] = x[..., n].flat


def flatten_input_grad(dy, dx):
    for n in range(len(dy)):
        dx[..., n] = dy[n].reshape(dx.shape[:-1])


def softmax_cross_entropy_forward(x, labels, dx, stats, *, batch):
    stats[:] = 0.0
    for n, row in enumerate(x):
        logits = row.astype(float)
        stats[0] += (math.log(np.exp(logits).sum()) - logits[labels[n]]) / batch
        stats[1] += logits.argmax() == labels[n]
        first, *others = powers = [(logit - logits.max()).exp() for logit in row]
        scaled_total = sum(others, start=first) * batch
        for c, power in enumerate(powers):
            dx[n, c] = power / scaled_total - (c == labels[n]) / batch


def add_accumulate(other, total):
    for e in range(len(total)):
        total[e] += other[e]


def sgd_update(p, g, m, *, learning_rate, momentum):
    for e in range(len(p)):
        m[e] = momentum * m[e] + g[e]
        p[e] = p[e] - learning_rate * m[e]


def adamw_update(
    p, g, exp_avg, exp_avg_sq, *, learning_rate, beta1, beta2, epsilon, weight_decay, step
):
    rate, whole = (1 - beta ** (step() + 1) for beta in (beta1, beta2))
    for e in range(len(p)):
        exp_avg[e] = beta1 * exp_avg[e] + (1 - beta1) * g[e]
        exp_avg_sq[e] = beta2 * exp_avg_sq[e] + (1 - beta2) * (g[e] * g[e])
        root = (exp_avg_sq[e] / whole).sqrt() + epsilon
        p[e] = (1 - learning_rate * weight_decay) * p[e] - learning_rate / rate * exp_avg[e] / root


def definition(name: str) -> Kernel:
    found: Kernel = globals()[name.replace(".", "_")]
    return found
