"""Convolutions of whole blocks of vectors, against one matmul for each place of the kernel."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.layer import Layer
from planner.layers import conv2d
from runtime.kernels import _direct, _vectors, kernel
from runtime.kernels import conv2d as kernels

SAMPLES = (1, 3, 16, 40)
ERROR = 32 * float(np.finfo(np.float64).eps)
"""Of the largest value, by the root of the longest sum: independent roundings."""


def by_places(x, w, b, dy, *, stride, pad, groups):
    """Return ``y``, ``dx`` and ``dw`` of a convolution, place by place of its kernel."""
    border = [(0, 0), (pad, pad), (pad, pad), (0, 0)]
    whole = np.pad(x, border)
    inputs, outputs = np.split(whole, groups), np.split(dy, groups)
    gradient, dw, y = (
        np.zeros_like(whole),
        np.zeros_like(w),
        np.zeros_like(dy) + b[:, None, None, None],
    )
    for i, j in np.ndindex(w.shape[2:]):
        rows, columns = (
            slice(at, at + stride * (n - 1) + 1, stride)
            for at, n in ((i, dy.shape[1]), (j, dy.shape[2]))
        )
        for g, (maps, out) in enumerate(zip(inputs, outputs, strict=True)):
            weights = np.split(w, groups)[g][:, :, i, j]
            read = maps[:, rows, columns]
            np.split(y, groups)[g][...] += np.tensordot(weights, read, 1)
            np.split(dw, groups)[g][:, :, i, j] = np.tensordot(out, read, ((1, 2, 3), (1, 2, 3)))
            np.split(gradient, groups)[g][:, rows, columns] += np.tensordot(weights.T, out, 1)
    return y, gradient[:, pad : pad + x.shape[1], pad : pad + x.shape[2]], dw


def by_kernels(layer, x, w, b, dy):
    tensors = {"x": x, "w": w, "b": b, "dy": dy}
    for phase in ("forward", "input_grad", "weight_grad"):
        call = layer.call(phase, x.shape[3], x.dtype.name)
        for tensor in (*call.writes, *call.work):
            tensors[tensor.name] = np.full(tensor.shape, np.nan, tensor.dtype)
        kernel(call.kernel)(*(tensors[t.name] for t in call.tensors), **dict(call.attrs))
    np.testing.assert_allclose(tensors["db"], dy.sum(axis=(1, 2, 3)), atol=1e-9)
    return tensors["y"], tensors["dx"], tensors["dw"]


def check(layer, samples, seed):
    rng = np.random.default_rng(seed)
    x, y = (layer.tensor(name, samples, "float64").shape for name in "xy")
    arrays = [rng.normal(size=s) for s in (x, layer.parameters["w"], layer.parameters["b"], y)]
    attrs = {"pad": 0, "groups": 1, "stride": 1} | dict(layer.attrs)
    expected = by_places(*arrays, **{name: attrs[name] for name in ("stride", "pad", "groups")})
    for got, right in zip(by_kernels(layer, *arrays), expected, strict=True):
        bound = ERROR * np.sqrt(arrays[0].size) * max(1.0, np.abs(right).max())
        np.testing.assert_allclose(got, right, rtol=0, atol=bound)


def convolution(inputs, side, **attrs):
    shapes = ((inputs, side, side),)
    return Layer(
        name="c", kind="conv2d", in_shapes=shapes, inputs=("a",), attrs=tuple(attrs.items())
    )


@settings(max_examples=25, deadline=None)
@given(
    side=st.integers(5, 12),
    samples=st.sampled_from(SAMPLES),
    maps=st.sampled_from([1, 2, 7, 8, 19]),
    channels=st.integers(1, 5),
    window=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    pad=st.integers(0, 2),
    groups=st.integers(1, 2),
    most=st.sampled_from([1, 1 << 14, conv2d.TILE_BYTES]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_convolution_of_many_blocks_equals_one_place_by_place(
    side, samples, maps, channels, window, stride, pad, groups, most, seed
):
    attrs = {"channels": groups * maps, "kernel": window, "groups": groups}
    layer = convolution(groups * channels, side, **attrs, stride=stride, pad=pad)
    with patch.object(conv2d, "TILE_BYTES", most):
        check(layer, samples, seed)


def test_the_examples_fill_every_kind_of_block():
    """Strips of several vectors, one vector, less than one; blocks of many maps, two, one."""
    lanes, many = _vectors.lanes(np.dtype(np.float64)), _vectors.MAPS
    runs = {columns * samples for columns in range(1, 13) for samples in SAMPLES}
    wide = _vectors.VECTORS * lanes
    assert {(run >= wide) + (run >= lanes) for run in runs} == {0, 1, 2}
    assert all((19 // many, 19 % many // 2, 19 % many % 2))


@pytest.mark.parametrize("field", ["run", "channels", "x_channel"])
def test_the_oracle_sees_a_sweep_that_is_wrong_by_one(field, monkeypatch):
    def wrong(*arrays_and_sweep):
        *arrays, sweep = arrays_and_sweep
        _direct.correlate(*arrays, sweep._replace(**{field: getattr(sweep, field) - 1}))

    monkeypatch.setattr(kernels, "correlate", wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(convolution(2, 6, channels=3, kernel=3), 9, 0)
