"""Losses of tokens and classes, loads of records: edge cases by hand."""

import zlib

import numpy as np
import pytest

from hwprofiles.units import KIB, MIB
from planner import steps
from planner.input_calls import stage_calls
from planner.model import load_model
from planner.plan import Source, Training
from runtime.kernels import kernel, load
from tests.runtime.test_kernels import arguments, bound, peak_bytes, run

pytestmark = pytest.mark.slow


def test_a_loss_of_many_tokens_allocates_as_little():
    call = steps.loss(load_model("gpt-nano"), 200, "float64", 200)  # 12,800 rows of logits
    assert peak_bytes(bound(call, arguments(call, old=0.0))) <= MIB + KIB


def test_a_loss_of_tokens_is_that_of_as_many_samples():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(3, 5, 7)), rng.integers(0, 7, (3, 5))
    dx, stats, flat_dx, flat_stats = (
        np.empty((3, 5, 7)),
        np.empty(2),
        np.empty((15, 7)),
        np.empty(2),
    )
    kernel("softmax_cross_entropy.forward")(x, labels, dx, stats, batch=4)
    rows = (x.reshape(15, 7), labels.reshape(15))
    kernel("softmax_cross_entropy.forward")(*rows, flat_dx, flat_stats, batch=4 * 5)
    np.testing.assert_array_equal(dx.reshape(15, 7), flat_dx)
    np.testing.assert_array_equal(stats, flat_stats)


def test_a_loss_of_two_heads_is_the_sum_of_theirs():
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(3, 2)), rng.normal(size=(3, 4, 6))
    labels = np.concatenate([rng.integers(0, 2, (3, 1)), rng.integers(0, 6, (3, 4))], axis=1)
    dx, stats = [np.empty_like(x) for x in pairs], np.empty(2)
    kernel("softmax_cross_entropy.heads")(*pairs, labels, *dx, stats, batch=5)
    expected = np.zeros(2)
    for x, part, gradient in zip(pairs, (labels[:, 0], labels[:, 1:]), dx, strict=True):
        own, own_stats = np.empty_like(x), np.empty(2)
        kernel("softmax_cross_entropy.forward")(x, part, own, own_stats, batch=5)
        np.testing.assert_array_equal(gradient, own)
        expected += own_stats
    np.testing.assert_allclose(stats, expected, rtol=1e-12)


def test_a_tied_table_gets_its_gradient_on_top_of_what_is_there():
    x, dy = np.array([[2, 0, 2]]), np.arange(6.0).reshape(1, 3, 2)
    dw = np.ones((3, 2))
    kernel("embedding.weight_grad")(x, dy, dw, first=0, tied=1)
    np.testing.assert_array_equal(dw, [[1 + 2, 1 + 3], [1, 1], [1 + 0 + 4, 1 + 1 + 5]])


def test_one_token_among_others_gives_its_row_a_gradient():
    x, dy, dw = np.array([[9, 1], [9, 0]]), np.arange(4.0).reshape(2, 1, 2), np.empty((2, 2))
    kernel("embedding.weight_grad")(x, dy, dw, first=1, tied=0)
    np.testing.assert_array_equal(dw, [[2, 3], [0, 1]])


@pytest.mark.parametrize(("shifted", "labels"), [(1, (3,)), (0, (1,))])
def test_load_of_tokens_of_two_bytes(shifted, labels):
    numbers = np.array([[7, 300, 2, 65535]], "<u2")
    x, found = np.empty((1, 3), np.int64), np.empty((1, *labels), np.int64)
    raw = np.empty((1, 8), np.uint8)
    how = {"item_bytes": 2, "shifted": shifted}
    load.tokens(x, found, raw, **how, fetch=lambda out: np.copyto(out, numbers.view(np.uint8)))
    np.testing.assert_array_equal(x, [[7, 300, 2]] if shifted else [[300, 2, 65535]])
    np.testing.assert_array_equal(found, [[300, 2, 65535]] if shifted else [[7]])


@pytest.mark.parametrize("encoding", ["raw", "zlib"])
def test_an_input_pipeline_decodes_text_as_a_load_does(encoding):
    loading = steps.load(load_model("gpt-nano"), 2, "float32")
    records = np.random.default_rng(0).integers(0, 256, loading.writes[2].shape, dtype=np.uint8)
    once = arguments(loading, old=0.0)
    settings = dict(loading.attrs)
    kernel(loading.kernel)(*once.values(), fetch=lambda raw: np.copyto(raw, records), **settings)
    training = Training(batch=2, source=Source(encoding=encoding, stored_bytes=100))
    decode = stage_calls(loading, training).decode
    given = {t.name: np.zeros(t.shape, t.dtype) for t in decode.tensors} | {"stored": records}
    if encoding == "zlib":
        packed = [zlib.compress(record.tobytes()).ljust(100, b"\0") for record in records]
        given["stored"] = np.array([list(row) for row in packed], np.uint8)
    run(decode, given)
    for name in ("x", "labels"):
        np.testing.assert_array_equal(given[name], once[name])


def test_large_logits_give_a_finite_loss():
    x = np.array([[1000.0, 0.0], [0.0, 1000.0]], np.float32)
    dx, stats = np.empty_like(x), np.empty(2)
    kernel("softmax_cross_entropy.forward")(x, np.array([0, 0]), dx, stats, batch=2)
    np.testing.assert_allclose(stats, [500.0, 1.0])  # losses 0 and 1000, one hit
    np.testing.assert_allclose(dx, [[0.0, 0.0], [-0.5, 0.5]])


def test_equal_logits_count_for_the_first_class():
    x, dx, stats = np.zeros((3, 4)), np.empty((3, 4)), np.empty(2)
    kernel("softmax_cross_entropy.forward")(x, np.array([0, 1, 3]), dx, stats, batch=3)
    np.testing.assert_allclose(stats, [np.log(4), 1.0])


DIGIT = {"height": 2, "width": 2, "full_scale": 16}


def test_load_repeats_every_pixel_and_scales_it_to_one():
    record = np.array([[7, 0, 16, 4, 8]], np.uint8)  # the label, then 2 x 2 pixels
    x, labels, raw = np.empty((2, 4, 6, 1)), np.empty(1, np.int64), np.empty((1, 5), np.uint8)
    load.records(
        x, labels, raw, height=2, width=2, full_scale=16, fetch=lambda out: np.copyto(out, record)
    )
    row_0, row_1 = [0, 0, 0, 1, 1, 1], [0.25, 0.25, 0.25, 0.5, 0.5, 0.5]
    expected = np.array([row_0, row_0, row_1, row_1])
    np.testing.assert_array_equal(x[..., 0], [expected, expected])
    assert labels == 7


def test_load_flattens_for_a_model_of_vectors():
    record = np.array([[3, 0, 16, 4, 8]], np.uint8)
    x, labels, raw = np.empty((1, 4), "float32"), np.empty(1, np.int64), np.empty((1, 5), np.uint8)
    load.records(
        x, labels, raw, height=2, width=2, full_scale=16, fetch=lambda out: np.copyto(out, record)
    )
    np.testing.assert_array_equal(x, [[0, 1, 0.25, 0.5]])
    assert labels == 3


def test_load_repeats_channels_and_reads_labels_of_two_bytes():
    record = np.array([[0xE7, 3, 0, 51, 102, 255]], np.uint8)  # the label, then 2 x 1 x 2 values
    x, labels, raw = np.empty((4, 1, 4, 1)), np.empty(1, np.int64), np.empty((1, 6), np.uint8)
    sides = {"channels": 2, "height": 1, "width": 2, "full_scale": 255}
    load.records(x, labels, raw, **sides, fetch=lambda out: np.copyto(out, record))
    low, high = [0, 0, 0.2, 0.2], [0.4, 0.4, 1, 1]
    np.testing.assert_allclose(x[:, 0, :, 0], [low, low, high, high])
    assert labels == 999


def test_pooling_leaves_out_what_fills_no_window():
    x = np.arange(15.0).reshape(1, 3, 5, 1)
    y, dx = np.empty((1, 1, 2, 1)), np.full_like(x, np.nan)
    kernel("avg_pool.forward")(x, y, window=2)
    np.testing.assert_array_equal(y.ravel(), [(0 + 1 + 5 + 6) / 4, (2 + 3 + 7 + 8) / 4])
    kernel("avg_pool.input_grad")(np.array([[[[4.0], [8.0]]]]), dx, window=2)
    np.testing.assert_array_equal(dx[0, ..., 0], [[1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [0] * 5])
