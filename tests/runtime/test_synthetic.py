"""Random record files: as asked for, the same for the same arguments, and found by their shape."""

import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from foreplan.datasets import record_files, write_synthetic
from hwprofiles.errors import RecordError
from planner.model import load_model
from planner.steps import load, record_limits
from runtime import synthetic
from runtime.kernels import kernel
from runtime.records import RecordFile
from runtime.synthetic import write_synthetic as write
from runtime.synthetic import write_synthetic_text

SHAPE = (3, 4, 6)


def contents(path):
    with RecordFile(path) as file:
        file.verify()
        out = np.empty((file.count, file.header.record_bytes), np.uint8)
        file.read_into(0, out)
        return file.header, out


@pytest.mark.parametrize("block_bytes", [1, 1 << 20], ids=["record by record", "in one block"])
def test_a_pair_of_files_is_as_it_was_asked_for(block_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "BLOCK_BYTES", block_bytes)
    seen = []
    paths = write(
        tmp_path, SHAPE, 1000, 50, progress=lambda done, total: seen.append((done, total))
    )
    assert [path.name for path in paths] == [
        "synthetic-3x4x6-1000-train.rec",
        "synthetic-3x4x6-1000-test.rec",
    ]
    (train, one), (test, other) = map(contents, paths)
    assert (train.count, test.count) == (40, 10)
    assert (train.sample_shape, train.classes, train.full_scale) == (SHAPE, 1000, 255)
    labels = one[:, 0] + 256 * one[:, 1].astype(int)
    assert labels.max() < 1000
    assert len(set(labels)) > 20
    assert 120 < one[:, 2:].mean() < 135
    assert len(np.unique(np.concatenate([one, other]), axis=0)) == 50
    assert seen[-1] == (2 * 50 * 74,) * 2


def test_the_seed_alone_decides_the_bytes(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        folder.mkdir()
        write(folder, SHAPE, 10, 5, seed)
    one, same, other = (sorted(folder.iterdir())[0].read_bytes() for folder in folders)
    assert one == same
    assert one != other


@pytest.mark.parametrize("name", ["gpt-2:5", "bert-base:12", "electra-base:12"])
def test_text_is_written_as_the_model_takes_it(name, tmp_path):
    model = load_model(name)
    (header, records), _ = map(contents, write_synthetic_text(tmp_path, model, 50))
    assert record_files(model, tmp_path)[0].exists()
    assert (header.dtype, header.sample_shape) == (model.record_dtype, model.record_shape)
    call = load(model, len(records), "float32")
    arrays = {t.name: np.empty(t.shape, t.dtype) for t in call.writes}
    fetch = partial(np.copyto, src=records)
    kernel(call.kernel)(*arrays.values(), **dict(call.attrs), fetch=fetch)
    limits, inputs = np.array(record_limits(model)), arrays["x"].shape[1]
    labels_below = limits[1:] if model.next_token else limits[:-inputs]
    for found, below in ((arrays["labels"], labels_below), (arrays["x"], limits[-inputs:])):
        assert (found < below).all()
        assert (found.max(axis=0) > 0.7 * (below - 1)).all(), "drawn from all there are"


def test_records_of_another_width_are_not_those_of_the_model(tmp_path):
    """Eight numbers of two bytes after a label, and seventeen bytes after one: the same size."""
    written = write_synthetic_text(tmp_path, load_model("gpt-2:8"), 2)
    write(tmp_path, (17,), 256, 2)
    assert record_files(load_model("gpt-2:8"), tmp_path) == written
    with pytest.raises(RecordError, match=r"numbers of uint16, 50257 .*--model gpt-2:9`"):
        record_files(load_model("gpt-2:9"), tmp_path)


def test_data_synthetic_writes_for_a_model(inside, tmp_path):
    arguments = ["data", "synthetic", "--model", "gpt-2", "--count", "3", "-o", tmp_path]
    answer = inside([*arguments, "--seq", "6"], tmp_path, tmp_path)
    assert answer.stderr.count("wrote ") == 2, answer.stderr
    assert contents(tmp_path / "synthetic-6-50257-uint16-train.rec")[1].shape == (2, 14)
    refused = inside([*arguments, "--shape", "3x4x4"], tmp_path, tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_a_disk_without_room_is_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=99))
    with pytest.raises(RecordError, match=r"expected room for 730 bytes .*, got 99; .* fewer"):
        write(tmp_path, SHAPE, 10, 10)
    assert not list(tmp_path.iterdir())


def test_a_model_finds_the_files_of_its_records_and_no_others(home, tmp_path):
    shutil.copytree(home / "data", tmp_path, dirs_exist_ok=True)
    imagenet = write_synthetic((3, 224, 224), 1000, 2, tmp_path)
    assert record_files(load_model("resnet-18"), tmp_path) == imagenet
    assert record_files(load_model("mlp"), tmp_path)[0].name == "digits-train.rec"
    with pytest.raises(
        RecordError, match=r"3x227x227.*3x224x224.*--shape 3x227x227 --classes 1000"
    ):
        record_files(load_model("alexnet"), tmp_path)
    shutil.copy(imagenet[0], tmp_path / "mine-train.rec")
    with pytest.raises(RecordError, match=r"found 2: mine-train.rec, synthetic-.*; name a folder"):
        record_files(load_model("resnet-18"), tmp_path)
    imagenet[0].unlink()
    with pytest.raises(RecordError, match=r"mine-test\.rec: expected a readable file"):
        record_files(load_model("resnet-18"), tmp_path)
