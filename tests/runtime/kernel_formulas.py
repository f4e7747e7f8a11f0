"""Forward kernels as formulas over whole arrays, for kinds whose FLOP are declared roundly."""

import math
from collections.abc import Callable

import numpy as np

from tests.runtime.kernel_cases import (
    STREAM,
)


def pooled(x, y, how, border, *, window, stride=0, pad=0, ceil=0):
    """``how`` of each window of maps with a ``border`` that is wide enough for all of them."""
    step, wide = stride or window, pad + window
    whole = np.pad(x, ((0, 0), (pad, wide), (pad, wide), (0, 0)), constant_values=border)
    for p, q in np.ndindex(y.shape[1:3]):
        rows, columns = (slice(at * step, at * step + window) for at in (p, q))
        y[:, p, q] = how(whole[:, rows, columns], axis=(1, 2))


def normalised(x, w, b, y, *, group):
    for first in range(0, x.shape[3], group):
        maps = x[..., first : first + group]
        mean, variance = (f(maps, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
        scaled = w[:, None, None, None] * (maps - mean) / np.sqrt(variance + 1e-5)
        y[..., first : first + group] = scaled + b[:, None, None, None]


def locally_normalised(x, y, *, size):
    for c in range(len(x)):
        near = x[max(0, c - size // 2) : c + size // 2 + 1]
        y[c] = x[c] / (2 + 1e-4 * (near**2).sum(axis=0)) ** 0.75


def token_normalised(x, w, b, y):
    mean, variance = (f(x, axis=-1, keepdims=True) for f in (np.mean, np.var))
    y[:] = w * (x - mean) / np.sqrt(variance + 1e-5) + b


def attended(x, y, *, heads, causal):
    """Query by query; a causal one sees the keys up to its own."""
    split = x.reshape(*x.shape[:2], 3, heads, -1)
    out = y.reshape(*y.shape[:2], heads, -1)
    for n, s, h in np.ndindex(out.shape[:3]):
        end = s + 1 if causal else x.shape[1]
        q, k, v = split[n, s, 0, h], split[n, :end, 1, h], split[n, :end, 2, h]
        weights = np.exp(k @ q / math.sqrt(len(q)))
        out[n, s, h] = weights @ v / weights.sum()


def remembered(x, w, b, y, *, features, reverse=0):
    """Sample by sample and token by token, as the paper has it."""
    logistic = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for n in range(len(x)):
        c, h = np.zeros(features), np.zeros(features)
        for t in range(x.shape[1])[:: -1 if reverse else 1]:
            i, f, o, g = np.split(np.concatenate([x[n, t], h]) @ w + b, 4)
            c = logistic(f) * c + logistic(i) * np.tanh(g)
            y[n, t] = h = logistic(o) * np.tanh(c)


def splitmix64(state, count):
    """The generator as published, one word at a time in whole numbers."""
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        yield z ^ z >> 31


def mixed(word):
    return next(splitmix64(word - 0x9E3779B97F4A7C15, 1))


def kept(elements, place, percent):
    """Which elements of the sample at ``place`` of the batch are kept, four to a word."""
    key = STREAM.seed
    for part in (STREAM.step, STREAM.op, place):
        key = mixed(key) + part
    words = splitmix64(mixed(key % 2**64), -(-elements // 4))
    lanes = [word >> 16 * i & 0xFFFF for word in words for i in range(4)]
    return np.array(lanes[:elements]) >= round(percent / 100 * 2**16)


def mask_of(x, percent):
    """The mask of an input, one sample after another."""
    samples = x.shape[-1] if x.ndim == 4 else len(x)
    rows = [kept(x.size // samples, STREAM.first + i, percent) for i in range(samples)]
    return np.array(rows).T.reshape(x.shape) if x.ndim == 4 else np.array(rows).reshape(x.shape)


def dropped_out(x, y, *, percent):
    y[:] = x * mask_of(x, percent) / (1 - round(percent / 100 * 2**16) / 2**16)


FORMULAS: dict[str, Callable[..., None]] = {
    "dropout": dropped_out,
    "layer_norm": token_normalised,
    "attention": attended,
    "lstm": remembered,
    "sigmoid": lambda x, y: np.copyto(y, 1 / (1 + np.exp(-x))),
    "silu": lambda x, y: np.copyto(y, x / (1 + np.exp(-x))),
    "gate": lambda x0, x1, y: np.copyto(y, x0 * x1),
    "avg_pool": lambda x, y, **how: pooled(x, y, np.mean, 0.0, **how),
    "max_pool": lambda x, y, **how: pooled(x, y, np.max, -np.inf, **how),
    "batch_norm": normalised,
    "lrn": locally_normalised,
}
