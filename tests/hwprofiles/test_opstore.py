"""The op store: what goes in comes out, two processes may write, a bad file is one sentence."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from hwprofiles.calibration import Calibration, OpSample, TransferSample
from hwprofiles.errors import RecordError
from hwprofiles.grade import Grade
from hwprofiles.identity import Identity
from hwprofiles.opstore import OpStore, home_folder

ROOT = Path(__file__).parents[2]
IDENTITY = Identity(
    device="CPU",
    lanes=2,
    blas_library="openblas",
    blas_version="0.3",
    blas_architecture="Haswell",
    blas_threads=1,
    kernels_sha256="ab",
)
KEY = IDENTITY.key


def op(signature, median_s=1e-3):
    return OpSample(
        signature=signature,
        op_class="linear_forward",
        dtype="float32",
        flop=2**40,
        moved_bytes=10,
        median_s=median_s,
        iqr_s=1e-5,
        repeats=7,
    )


def transfers(*sizes):
    return tuple(TransferSample(payload_bytes=s, median_s=s / 1e9, iqr_s=0.0) for s in sizes)


FULL = Calibration(
    ops={"a": op("a"), "b": op("b", 0.1 + 0.2)},
    transfers=transfers(1024, 65536),
    scalars={"launch_overhead_s": 2e-6},
    sentinels={"a": (1e-3, 1.1e-3)},
    context={"kernel": "6.1"},
)


@pytest.fixture
def store(tmp_path):
    return OpStore(tmp_path / "home" / "ops.sqlite")


def test_a_calibration_comes_back_bit_for_bit(store):
    store.put(IDENTITY, FULL)
    assert store.calibration(KEY) == FULL
    assert store.identities() == [IDENTITY]


def test_reading_where_nothing_is_stored_creates_nothing(store):
    assert store.calibration(KEY) is None
    assert store.identities() == []
    assert not store.path.parent.exists()


def test_another_identity_is_never_used(store):
    store.put(IDENTITY, FULL)
    assert store.calibration(replace(IDENTITY, lanes=1).key) is None


def test_a_second_calibration_replaces_its_own_signatures_and_keeps_the_others(store):
    store.put(IDENTITY, FULL)
    newer = Calibration(
        ops={"b": op("b", 5.0), "c": op("c")}, scalars={"x_s": 1.0}, context=FULL.context
    )
    store.put(IDENTITY, newer)
    found = store.calibration(KEY)
    assert found.ops == {"a": op("a"), "b": op("b", 5.0), "c": op("c")}
    assert found.scalars == {"launch_overhead_s": 2e-6, "x_s": 1.0}
    assert (found.transfers, found.sentinels) == (FULL.transfers, FULL.sentinels)


def test_transfers_are_one_curve_and_replaced_together(store):
    store.put(IDENTITY, FULL)
    store.put(IDENTITY, Calibration(transfers=transfers(2048), context=FULL.context))
    assert store.calibration(KEY).transfers == transfers(2048)


def test_ops_of_an_older_context_are_demoted_until_measured_again(store):
    store.put(IDENTITY, FULL)
    store.put(IDENTITY, Calibration(ops={"b": op("b")}, context={"kernel": "6.2"}))
    grades = {name: sample.grade for name, sample in store.calibration(KEY).ops.items()}
    assert grades == {"a": Grade.FITTED, "b": Grade.MEASURED}


def test_a_put_that_fails_changes_nothing(store):
    store.put(IDENTITY, FULL)
    twice = Calibration(ops={"z": op("z")}, transfers=transfers(8, 8), context={"kernel": "7"})
    with pytest.raises(RecordError, match="UNIQUE"):
        store.put(IDENTITY, twice)
    assert store.calibration(KEY) == FULL


WRITER = """
import json, sys
from pathlib import Path
from hwprofiles.calibration import Calibration, OpSample
from hwprofiles.identity import Identity
from hwprofiles.opstore import OpStore

path, who, identity = sys.argv[1:]
store, identity = OpStore(Path(path)), Identity.from_dict(json.loads(identity))
for i in range(25):
    op = OpSample(signature=f"{who}-{i}", op_class="c", dtype="float32", flop=1, moved_bytes=1,
                  median_s=1.0, iqr_s=0.0, repeats=1)
    store.put(identity, Calibration(ops={op.signature: op}))
    assert op.signature in store.calibration(identity.key).ops
"""


def test_processes_that_write_at_once_all_succeed(store):
    arguments = [str(store.path), json.dumps(IDENTITY.to_dict())]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, arguments[0], who, arguments[1]],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in ("x", "y", "z")
    ]
    errors = [writer.communicate(timeout=60)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], errors
    assert len(store.calibration(KEY).ops) == 75


@pytest.fixture
def read_only_store():
    """A store in a folder that this process can read and not write, root or not."""
    folder = Path(tempfile.mkdtemp())
    store = OpStore(folder / "ops.sqlite")
    store.put(IDENTITY, FULL)
    store.path.chmod(0o444)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)  # root may write anywhere; nobody may not
    yield store
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write bit there")
def test_a_read_only_home_can_be_read_and_refuses_writes_in_one_sentence(read_only_store):
    assert read_only_store.calibration(KEY) == FULL
    with pytest.raises(RecordError, match=r"cannot be written \(.*\); set FOREPLAN_HOME"):
        read_only_store.put(IDENTITY, FULL)
    absent = OpStore(read_only_store.path.parent / "sub" / "ops.sqlite")
    assert absent.calibration(KEY) is None
    with pytest.raises(RecordError, match="cannot be written"):
        absent.put(IDENTITY, FULL)


def both(store):
    return [lambda: store.calibration(KEY), lambda: store.put(IDENTITY, FULL), store.identities]


def test_a_file_that_is_no_database_is_one_sentence(store):
    store.path.parent.mkdir()
    store.path.write_bytes(b"not a database, but long enough to have a header" * 100)
    for call in both(store):
        with pytest.raises(RecordError, match=r"damaged content .* calibrate again") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_one_sentence(store):
    store.put(IDENTITY, FULL)
    store.path.write_bytes(store.path.read_bytes()[:8192])
    with pytest.raises(RecordError, match=r"op store '.*': "):
        store.calibration(KEY)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("PRAGMA user_version = 99", "expected schema 1, got 99"),
        ("UPDATE ops SET grade = 9", "damaged content"),
        ("UPDATE ops SET median_s = -1", "median_s must be > 0"),
        ("UPDATE ops SET median_s = 'soon'", "damaged content"),
        ("UPDATE identities SET context = '{'", "damaged content"),
        ("UPDATE sentinels SET median_s = 'x'", "damaged content"),
        ("DROP TABLE scalars", "no such table: scalars"),
    ],
)
def test_wrong_content_is_refused(store, statement, sentence):
    store.put(IDENTITY, FULL)
    db = sqlite3.connect(store.path)
    db.execute(statement)
    db.commit()
    db.close()
    with pytest.raises(RecordError, match=sentence):
        store.calibration(KEY)


def test_a_database_of_someone_else_is_left_alone(store):
    store.path.parent.mkdir()
    db = sqlite3.connect(store.path)
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    before = store.path.read_bytes()
    for call in both(store):
        with pytest.raises(RecordError, match="expected schema 1, got 0"):
            call()
    assert store.path.read_bytes() == before


def test_an_empty_file_is_an_empty_store(store):
    store.path.parent.mkdir()
    store.path.touch()
    assert store.calibration(KEY) is None
    store.put(IDENTITY, FULL)
    assert store.calibration(KEY) == FULL


def test_a_folder_in_its_place_is_one_sentence(store):
    store.path.mkdir(parents=True)
    for call in both(store):
        with pytest.raises(RecordError, match=r"cannot be (read|written)"):
            call()


def test_home_is_stated_else_xdg_else_under_the_user(tmp_path):
    assert home_folder({"FOREPLAN_HOME": "/f", "XDG_DATA_HOME": "/x"}) == Path("/f")
    assert home_folder({"XDG_DATA_HOME": "/x"}) == Path("/x/foreplan")
    assert home_folder({}) == Path.home() / ".local/share/foreplan"
    assert OpStore.at_home({"FOREPLAN_HOME": "/f"}).path == Path("/f/ops.sqlite")
    assert OpStore.at_home({"FOREPLAN_HOME": "/f"}, tmp_path / "o").path == tmp_path / "o"
