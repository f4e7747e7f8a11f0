"""Text as record files: bytes and the one after, each record from one file, the same for a seed."""

import numpy as np
import pytest

from hwprofiles.errors import RecordError
from planner.model import load_model
from runtime.records import RecordFile
from runtime.text import TOKENS, library_sources, write_text


def contents(path):
    with RecordFile(path) as file:
        records = np.empty((file.header.count, file.header.record_bytes), np.uint8)
        file.read_into(0, records)
        file.verify()
    return records


@pytest.fixture
def sources(tmp_path):
    """Two texts whose every byte says where it is from: 40 whole records and a rest each."""
    paths = []
    for i in range(2):
        paths.append(tmp_path / f"{i}.txt")
        paths[-1].write_bytes(bytes(100 * i + k % 100 for k in range(40 * 9 + 5)))
    return paths


def test_records_are_pieces_of_one_text_in_another_order(sources, tmp_path):
    train, test = map(contents, write_text(tmp_path, sources, tokens=8))
    assert (len(train), len(test)) == (72, 8)
    whole = [path.read_bytes() for path in sources]
    pieces = [text[at : at + 9] for text in whole for at in range(0, 360, 9)]
    found = list(map(bytes, np.concatenate([train, test])))
    assert sorted(found) == sorted(pieces)
    assert found != pieces


def test_the_seed_alone_decides_the_bytes(sources, tmp_path):
    for name in ("one", "same", "other"):
        (tmp_path / name).mkdir()
    first, _ = write_text(tmp_path / "one", sources, tokens=8, seed=1)
    same, _ = write_text(tmp_path / "same", sources, tokens=8, seed=1)
    other, _ = write_text(tmp_path / "other", sources, tokens=8, seed=2)
    assert same.read_bytes() == first.read_bytes()
    assert not np.array_equal(contents(other), contents(first))


def test_records_of_the_standard_library_fit_gpt_nano(tmp_path):
    model = load_model("gpt-nano")
    train, test = write_text(tmp_path)
    assert [path.name for path in (train, test)] == ["text-train.rec", "text-test.rec"]
    with RecordFile(train) as many, RecordFile(test) as few:
        assert many.header.record_bytes == model.record_bytes == TOKENS + 1
        assert many.header.sample_shape == model.record_shape
        assert many.header.classes == model.classes
        assert (many.count > 10_000, few.count) == (True, 512)
    assert len(library_sources()) > 100


def test_too_little_text_is_refused(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("short")
    with pytest.raises(RecordError, match="at least 2 records of 65 bytes in 1 files, got 0"):
        write_text(tmp_path, [path])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"gone\.txt: expected a file to read, got No such file"):
        write_text(tmp_path, [tmp_path / "gone.txt"])


def test_data_text_writes_records_of_the_length_that_is_asked_for(inside, sources, tmp_path):
    arguments = ["data", "text", *sources, "--seq", "16", "-o", tmp_path / "data"]
    answer = inside(arguments, tmp_path, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("wrote ") == 2
    assert contents(tmp_path / "data" / "text-train.rec").shape[1] == 17
    arguments[2:4] = [tmp_path / "gone.txt"]
    refused = inside(arguments, tmp_path, tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
