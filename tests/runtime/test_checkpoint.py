"""Checkpoints: whole or refused, of this training or refused, and never without a last good one."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwprofiles.errors import RecordError
from runtime.checkpoint import (
    KEPT,
    Keeper,
    State,
    check_whole,
    newest,
    path_of,
    read_checkpoint,
    refuse_stored,
    stored,
    write_checkpoint,
)

BELONGS = {"model": "ab", "plan": {"workers": 2, "microbatch": 32}, "records": "cd"}


def state(step, dtype="float32", count=50):
    rng = np.random.default_rng(step)
    return State(
        step=step,
        parameters=rng.normal(size=count).astype(dtype),
        optimizer={name: rng.normal(size=count).astype(dtype) for name in ("m", "v")},
        losses=rng.normal(size=step),
    )


def arrays_of(kept):
    return [kept.parameters, *kept.optimizer.values(), kept.losses]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_read_is_what_was_written_to_the_bit(dtype, tmp_path):
    before = state(7, dtype)
    before.parameters[:3] = [np.nan, np.inf, -0.0]
    after = read_checkpoint(write_checkpoint(tmp_path, before, BELONGS), BELONGS)
    assert after.step == 7
    assert list(after.optimizer) == ["m", "v"]
    for a, b in zip(arrays_of(before), arrays_of(after), strict=True):
        assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes())


def test_equal_states_give_equal_files(tmp_path):
    one = write_checkpoint(tmp_path / "a", state(3), BELONGS)
    two = write_checkpoint(tmp_path / "b", state(3), dict(reversed(BELONGS.items())))
    assert one.read_bytes() == two.read_bytes()


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = write_checkpoint(tmp_path, state(3), BELONGS)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(RecordError, match=r"^checkpoint .*step-000000003\.ckpt: expected"):
            check_whole(path)


def test_a_changed_byte_anywhere_is_refused(tmp_path):
    path = write_checkpoint(tmp_path, state(3), BELONGS)
    whole = bytearray(path.read_bytes())
    for at in range(0, len(whole), 3):
        whole[at] ^= 1
        path.write_bytes(whole)
        with pytest.raises(RecordError, match=r"agrees with its checksum|the first bytes"):
            check_whole(path)
        whole[at] ^= 1
    path.write_bytes(whole)
    check_whole(path)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"model": "zz"}, "state of model 'zz', got 'ab'"),
        ({"records": "zz"}, "state of records 'zz', got 'cd'"),
        (
            {"plan": {"workers": 1, "microbatch": 32}},
            r"state of plan workers 1, got workers 2; resume with the plan and the data",
        ),
    ],
)
def test_the_state_of_something_else_is_refused_and_the_difference_named(other, says, tmp_path):
    path = write_checkpoint(tmp_path, state(3), BELONGS)
    with pytest.raises(RecordError, match=says):
        read_checkpoint(path, BELONGS | other)


def test_the_newest_and_the_one_before_stay(tmp_path):
    for step in (10, 20, 30, 40):
        write_checkpoint(tmp_path, state(step), BELONGS)
    assert stored(tmp_path) == [path_of(tmp_path, 30), path_of(tmp_path, 40)]
    assert len(stored(tmp_path)) == KEPT
    assert newest(tmp_path) == path_of(tmp_path, 40)
    assert sorted(tmp_path.iterdir()) == stored(tmp_path), "no temporary file is left"


def test_a_history_that_was_left_goes_when_another_is_written(tmp_path):
    """Resumed from 10, for 30 is damaged: the next checkpoint must be the newest one."""
    for step in (10, 30):
        write_checkpoint(tmp_path, state(step), BELONGS)
    write_checkpoint(tmp_path, state(20), BELONGS)
    assert stored(tmp_path) == [path_of(tmp_path, 10), path_of(tmp_path, 20)]


def test_a_damaged_newest_one_is_refused_and_the_good_one_before_named(tmp_path):
    write_checkpoint(tmp_path, state(10), BELONGS)
    path = write_checkpoint(tmp_path, state(20), BELONGS)
    path.write_bytes(path.read_bytes()[:-5])
    says = r"step-000000020\.ckpt: .*cut short; .*--resume-from .*step-000000010\.ckpt$"
    with pytest.raises(RecordError, match=says):
        newest(tmp_path)
    path_of(tmp_path, 10).write_bytes(b"")
    with pytest.raises(RecordError, match=r"step-000000020\.ckpt: .*; start anew$"):
        newest(tmp_path)


def test_nothing_to_resume_and_something_in_the_way_are_said(tmp_path):
    refuse_stored(tmp_path)
    with pytest.raises(RecordError, match=r"found none; leave out --resume"):
        newest(tmp_path / "nowhere")
    write_checkpoint(tmp_path, state(20), BELONGS)
    with pytest.raises(RecordError, match=r"found step-000000020\.ckpt; give --resume"):
        refuse_stored(tmp_path)


def test_the_last_step_is_kept_wherever_it_falls():
    keeper = Keeper(folder=Path(), every=10, resume=None, belongs={})
    assert [s for s in range(1, 28) if keeper.is_due(s, 27)] == [10, 20, 27]
    never = Keeper(folder=Path(), every=0, resume=None, belongs={})
    assert not any(never.is_due(s, 27) for s in range(1, 28))


def test_a_file_that_may_not_grow_ends_with_that_cause_and_the_last_good_one_stays(tmp_path):
    good = write_checkpoint(tmp_path, state(1), BELONGS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        with pytest.raises(RecordError) as caught:
            write_checkpoint(tmp_path, state(2, count=5000), BELONGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert f"the last good one is {good}" in str(caught.value)
    assert list(tmp_path.iterdir()) == [good]
    check_whole(good)


FILL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.runtime.test_checkpoint import BELONGS, state
from runtime.checkpoint import check_whole, stored, write_checkpoint
folder = Path(sys.argv[1])
try:
    for step in range(1, 100):
        write_checkpoint(folder, state(step, count=2000), BELONGS)
except Exception as error:
    print(type(error).__name__, error)
for path in stored(folder):
    check_whole(path)
print(len(list(folder.iterdir())), stored(folder)[-1].name)
"""


def test_a_full_disk_ends_with_that_cause_and_the_last_good_one_stays(tmp_path):
    """A disk of 64 KiB for checkpoints of 24 KiB: two lie there, and no third fits beside them."""
    unshare = shutil.which("unshare")
    script = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
    command = [str(unshare), "-rm", "sh", "-c", script, str(tmp_path)]
    if not unshare or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("no mount namespace of one's own here, so no disk that can be filled")
    root = Path(__file__).parent.parent.parent
    program = [sys.executable, "-c", FILL, str(tmp_path), str(root)]
    done = subprocess.run(
        [*command, *program], capture_output=True, text=True, check=True, cwd=root
    )
    fault, left = done.stdout.splitlines()
    assert fault.startswith(f"RecordError checkpoint {path_of(tmp_path, 3)}: expected to write")
    assert os.strerror(errno.ENOSPC) in fault
    assert f"the last good one is {path_of(tmp_path, 2)}" in fault
    assert left == "2 step-000000002.ckpt"
