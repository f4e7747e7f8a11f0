"""Record files: what is written is read, and every damage is named in one sentence."""

import json
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import RecordError
from runtime.record_header import ALIGNMENT, MAGIC, RecordHeader
from runtime.record_writer import write_records
from runtime.records import RecordFile

COUNT, SHAPE, CLASSES = 7, (3, 2), 5


@pytest.fixture
def samples():
    return np.arange(COUNT * 6, dtype=np.uint8).reshape(COUNT, *SHAPE)


@pytest.fixture
def labels():
    return np.array([0, 1, 2, 3, 4, 0, 1])


@pytest.fixture
def path(tmp_path, samples, labels):
    path = tmp_path / "some.rec"
    write_records(path, samples, labels, classes=CLASSES, seed=3)
    return path


@pytest.fixture
def body(samples, labels):
    return np.column_stack([labels.astype(np.uint8), samples.reshape(COUNT, -1)])


def read(path, first, records):
    out = np.full((records, 7), 255, np.uint8)
    with RecordFile(path) as file:
        file.read_into(first, out)
    return out


def test_what_is_written_is_read(path, body):
    np.testing.assert_array_equal(read(path, 0, COUNT), body)


def test_more_than_256_classes_take_labels_of_two_bytes(tmp_path, samples):
    labels = np.array([0, 255, 256, 999, 3, 4, 770])
    write_records(tmp_path / "wide.rec", samples, labels, classes=1000, seed=0)
    out = np.empty((COUNT, 8), np.uint8)
    with RecordFile(tmp_path / "wide.rec") as file:
        file.read_into(0, out)
    np.testing.assert_array_equal(out[:, 0] + 256 * out[:, 1].astype(int), labels)
    np.testing.assert_array_equal(out[:, 2:], samples.reshape(COUNT, -1))


def test_header_says_what_the_file_holds(path):
    with RecordFile(path) as file:
        header, count = file.header, file.count
    assert count == COUNT
    assert (header.count, header.record_bytes, header.sample_shape) == (COUNT, 7, SHAPE)
    assert (header.classes, header.seed) == (CLASSES, 3)


def test_records_start_at_a_multiple_of_64(path, body):
    content = path.read_bytes()
    start = content.index(body.tobytes())
    assert start % ALIGNMENT == 0
    assert len(content) == start + body.size


def test_equal_input_writes_equal_bytes(path, tmp_path, samples, labels):
    again = tmp_path / "again.rec"
    write_records(again, samples, labels, classes=CLASSES, seed=3)
    assert again.read_bytes() == path.read_bytes()


def test_writing_leaves_no_other_file(path):
    assert [entry.name for entry in path.parent.iterdir()] == ["some.rec"]


def test_failed_write_leaves_the_old_file(path, samples, labels, monkeypatch):
    before = path.read_bytes()

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match=r"some\.rec: .*No space left on device; choose a folder"):
        write_records(path, samples[::-1], labels, classes=CLASSES, seed=4)
    assert path.read_bytes() == before
    test_writing_leaves_no_other_file(path)


@settings(max_examples=100, deadline=None)
@given(first=st.integers(-20, 60), records=st.integers(0, COUNT))
def test_reading_is_cyclic(tmp_path_factory, first, records):
    path = tmp_path_factory.getbasetemp() / "cyclic.rec"
    samples = np.arange(COUNT * 6, dtype=np.uint8).reshape(COUNT, *SHAPE)
    if not path.exists():
        write_records(path, samples, np.zeros(COUNT, int), classes=1, seed=0)
    got = read(path, first, records)
    expected = np.take(samples.reshape(COUNT, -1), range(first, first + records), 0, mode="wrap")
    np.testing.assert_array_equal(got[:, 1:], expected)


@pytest.mark.parametrize(("first", "reads"), [(0, 1), (2, 1), (3, 2), (6, 2), (7, 1)])
def test_a_read_is_one_system_call_or_two_around_the_end(path, monkeypatch, first, reads):
    calls = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *args: calls.append(args) or preadv(*args))
    read(path, first, 5)
    assert len(calls) == reads


def test_a_read_that_the_system_cuts_short_is_continued(path, body, monkeypatch):
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: preadv(fd, [views[0][:3]], at))
    np.testing.assert_array_equal(read(path, 5, 4), body[[5, 6, 0, 1]])


@pytest.mark.parametrize("shape", [(COUNT + 1, 7), (2, 6)])
def test_a_read_that_does_not_fit_the_file_is_refused(path, shape):
    with (
        RecordFile(path) as file,
        pytest.raises(RecordError, match="expected reads of at most 7 records of 7 bytes, got"),
    ):
        file.read_into(0, np.empty(shape, np.uint8))


@pytest.mark.parametrize("lost", [1, 7, 40])
def test_a_file_cut_short_is_refused_with_both_sizes(path, lost):
    size = path.stat().st_size
    os.truncate(path, size - lost)
    message = rf"some\.rec: expected {size} bytes, got {size - lost}; it is damaged, write it again"
    with pytest.raises(RecordError, match=message):
        RecordFile(path)


def test_a_file_with_bytes_to_spare_is_refused(path):
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(RecordError, match="it is damaged"):
        RecordFile(path)


def test_a_file_cut_while_open_is_noticed(path):
    with RecordFile(path) as file:
        os.truncate(path, path.stat().st_size - 7)
        with pytest.raises(RecordError, match="got the end of the file"):
            file.read_into(0, np.empty((COUNT, 7), np.uint8))


@pytest.mark.parametrize("content", [b"", b"fore", b"PK\x03\x04" + bytes(100)])
def test_a_wrong_magic_is_refused(tmp_path, content):
    path = tmp_path / "other.rec"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="expected the first bytes b'foreplan', got b"):
        RecordFile(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecordError, match="got No such file or directory; write it first"):
        RecordFile(tmp_path / "none.rec")


def rewritten(path, **changes):
    """Replace fields of the header; ``None`` takes one away."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    header = json.loads(content[12 : 12 + length]) | changes
    text = json.dumps({key: value for key, value in header.items() if value is not None}).encode()
    path.write_bytes(MAGIC + struct.pack("<I", len(text)) + text + content[12 + length :])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema": 2}, "schema"),
        ({"count": None}, "count"),
        ({"count": 0}, "count"),
        ({"full_scale": None}, "full_scale"),
        ({"count": "7"}, "count"),
        ({"record_bytes": 8}, "record_bytes must be 1 \\+ the product"),
        ({"classes": 300}, "record_bytes must be 2"),
        ({"classes": 70000}, "classes must be at most 65536"),
        ({"dtype": "uint16"}, "record_bytes must be 2 \\+ 2 x the product"),
        ({"dtype": "int16"}, "dtype"),
        ({"labels": 2}, "record_bytes must be 2 \\+"),
        ({"sha256": "abc"}, "sha256"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_header_is_refused_by_field(path, changes, named):
    rewritten(path, **changes)
    with pytest.raises(RecordError, match=f"a header of schema 1, got one with .*{named}"):
        RecordFile(path)


@pytest.mark.parametrize("length", [0, 5, 10**9])
def test_a_wrong_header_length_is_refused(path, length):
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, len(MAGIC), length)
    path.write_bytes(content)
    with pytest.raises(RecordError, match="expected a header of"):
        RecordFile(path)


def test_a_header_that_ends_early_is_refused(path):
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(RecordError, match="expected a header, got 10 bytes"):
        RecordFile(path)


def test_verify_passes_a_whole_file_and_names_the_hash_of_a_changed_one(path):
    with RecordFile(path) as file:
        file.verify()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with RecordFile(path) as file, pytest.raises(RecordError, match="expected records with sha256"):
        file.verify()


def test_messages_are_one_line(path):
    rewritten(path, schema=2, count="x")
    with pytest.raises(RecordError) as caught:
        RecordFile(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": np.zeros(2, int)}, "n labels"),
        ({"samples": np.zeros((COUNT, 3, 2))}, "float64"),
        ({"samples": np.zeros((0, 3, 2), np.uint8), "labels": np.zeros(0, int)}, "n > 0"),
        ({"classes": 4}, "labels from 0 to 3, got 0 to 4"),
        ({"classes": 65537}, "a label has at most two bytes"),
        ({"labels": np.full(COUNT, -1)}, "got -1 to -1"),
    ],
)
def test_samples_that_are_no_records_are_not_written(tmp_path, samples, labels, wrong, message):
    arguments = {"samples": samples, "labels": labels, "classes": CLASSES, "seed": 0} | wrong
    with pytest.raises(RecordError, match=message):
        write_records(tmp_path / "new.rec", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_refused(tmp_path, samples, labels):
    with pytest.raises(RecordError, match="choose a folder that exists"):
        write_records(tmp_path / "no" / "new.rec", samples, labels, classes=CLASSES, seed=0)


def test_files_are_closed_after_use_and_after_errors(path):
    def open_files():
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = open_files()
    with RecordFile(path) as file:
        pass
    file.close()
    rewritten(path, count=9)
    with pytest.raises(RecordError):
        RecordFile(path)
    assert open_files() == before


def test_header_is_frozen(path):
    with RecordFile(path) as file, pytest.raises(ValueError, match="frozen"):
        file.header.count = 1
    assert RecordHeader.model_config["frozen"]
