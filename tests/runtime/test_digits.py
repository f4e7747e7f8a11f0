"""The digits as record files: all of them, split once, the same for the same seed."""

import sys

import numpy as np
import pytest

from foreplan.datasets import fits
from hwprofiles.errors import BackendUnavailable
from planner.model import load_model
from runtime.digits import FULL_SCALE, write_digits
from runtime.records import RecordFile


def contents(path):
    with RecordFile(path) as file:
        records = np.empty((file.header.count, file.header.record_bytes), np.uint8)
        file.read_into(0, records)
        file.verify()
    return records


@pytest.fixture
def paths(tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    return write_digits(tmp_path)


def test_every_digit_is_in_one_of_the_two_files(paths):
    from sklearn.datasets import load_digits

    digits = load_digits()
    train, test = map(contents, paths)
    assert (len(train), len(test)) == (1437, 360)
    expected = np.column_stack([digits.target, digits.images.reshape(-1, 64)]).astype(np.uint8)
    rows = sorted(map(bytes, np.concatenate([train, test])))
    assert rows == sorted(map(bytes, expected))


def test_files_have_the_names_that_are_promised(paths):
    assert [path.name for path in paths] == ["digits-train.rec", "digits-test.rec"]


def test_pixels_reach_the_full_scale_of_the_header(paths):
    assert contents(paths[0])[:, 1:].max() == FULL_SCALE
    with RecordFile(paths[0]) as file:
        assert file.header.full_scale == FULL_SCALE


@pytest.mark.parametrize("model", ["lenet-5", "mlp", "alexnet-cifar", "resnet-20"])
def test_records_fit_the_models(paths, model):
    with RecordFile(paths[0]) as file:
        assert fits(file.header, load_model(model))


def test_the_seed_alone_decides_the_bytes(paths, tmp_path):
    names = "same", "other"
    for name in names:
        (tmp_path / name).mkdir()
    same, _ = write_digits(tmp_path / "same", seed=0)
    other, _ = write_digits(tmp_path / "other", seed=1)
    assert same.read_bytes() == paths[0].read_bytes()
    assert not np.array_equal(contents(other), contents(paths[0]))


def test_both_files_hold_every_class(paths):
    for path in paths:
        assert set(contents(path)[:, 0]) == set(range(10))


def test_without_scikit_learn_the_extra_to_install_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'foreplan\[demo\]'"):
        write_digits(tmp_path)
