"""Checkpoints: the whole state of training after some step, in one file.

Layout: 8 bytes ``fp-state``, the length of the header as little-endian uint32, the header as JSON,
then parameters and what the optimizer keeps (name, dtype and count as the header has them), the
loss of every step so far, and the SHA-256 of all before it. The header says what the state belongs
to. A checkpoint resumes bit-identically only under the same model, plan, training, records and
backend, for another plan adds gradients in another order: so anything else is refused, and the
difference named. Which records a step reads follows from its number.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import RecordError
from runtime.arena import dtype_of
from runtime.files import replace_whole

MAGIC = b"fp-state"
SCHEMA = 3
CHECKSUM_BYTES = hashlib.sha256().digest_size
PARAMETERS = "parameters"
KEPT = 2
"""Checkpoints that stay in a folder: the newest and the one before."""

Floats = npt.NDArray[np.floating[Any]]
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What training is after ``step`` steps; equal on all ranks of a data-parallel plan."""

    step: int
    parameters: Floats
    optimizer: Mapping[str, Floats]
    """What the optimizer keeps, by name."""
    losses: Floats
    """float64, one a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Which checkpoints a run writes, and which it begins with."""

    folder: Path
    every: int
    """Steps between two; 0 writes none. The last step is always kept."""
    resume: Path | None
    belongs: Mapping[str, Any]

    @classmethod
    def of(cls, asked: Mapping[str, Any] | None, belongs: Mapping[str, Any]) -> "Keeper | None":
        """Return what a job asks for, None where it asks for nothing."""
        if not asked:
            return None
        resume = Path(asked["resume"]) if asked["resume"] else None
        return cls(
            folder=Path(asked["folder"]), every=asked["every"], resume=resume, belongs=belongs
        )

    def is_due(self, step: int, total: int) -> bool:
        """Whether the state after ``step`` of ``total`` steps is kept."""
        return self.every > 0 and (step % self.every == 0 or step == total)


def path_of(folder: Path, step: int) -> Path:
    """Return where the checkpoint after ``step`` steps lies."""
    return folder / f"step-{step:09d}.ckpt"


def stored(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, good or not, oldest first."""
    return sorted(folder.glob("step-*.ckpt"))


def write_checkpoint(folder: Path, state: State, belongs: Mapping[str, Any]) -> Path:
    """Write one checkpoint, whole or not at all; keep it and the one before, remove the others.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    state : State
    belongs : mapping
        What the state belongs to, as JSON types; compared when it is read.

    Raises
    ------
    RecordError
        When it cannot be written; the message names the last good one, which stays.
    """
    path = path_of(folder, state.step)
    arrays = (state.parameters, *state.optimizer.values(), state.losses)
    body = b"".join(a.tobytes() for a in arrays)
    header = {
        "schema": SCHEMA,
        "step": state.step,
        "arrays": [
            [name, str(array.dtype), array.size]
            for name, array in {PARAMETERS: state.parameters, **state.optimizer}.items()
        ],
        "belongs": belongs,
    }
    text = json.dumps(header, sort_keys=True).encode()
    content = MAGIC + _LENGTH.pack(len(text)) + text + body
    before = [p for p in stored(folder) if p < path]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_whole(path, content, hashlib.sha256(content).digest())
    except OSError as error:
        kept = f"the last good one is {before[-1]}" if before else "there is none before it"
        raise RecordError(
            f"checkpoint {path}: expected to write {len(content)} bytes, got {error.strerror}; free"
            f" some room or name another folder with --checkpoints, then --resume ({kept})"
        ) from error
    for old in set(stored(folder)) - {path, *before[1 - KEPT :]}:
        with suppress(OSError):  # one too many is no reason to end a run
            old.unlink()
    return path


def read_checkpoint(path: Path, belongs: Mapping[str, Any]) -> State:
    """Read a checkpoint of the same training.

    Raises
    ------
    RecordError
        When it is missing, cut short, damaged, or belongs to something else.
    """
    header, body = _read(path)
    for name, value in belongs.items():
        found = header["belongs"].get(name)
        if found != value:
            raise _wrong(
                path,
                f"the state of {name} {_difference(value, found)}",
                _difference(found, value),
                "resume with the plan and the data it was written with",
            )
    found, at = dict[str, Floats](), 0
    for name, dtype, count in header["arrays"]:
        found[name] = np.frombuffer(body, dtype_of(dtype), count, offset=at)
        at += found[name].nbytes
    return State(
        step=header["step"],
        parameters=found.pop(PARAMETERS),
        optimizer=found,
        losses=np.frombuffer(body, np.float64, offset=at),
    )


def check_whole(path: Path) -> None:
    """Raise RecordError unless the file is a whole checkpoint."""
    _read(path)


def newest(folder: Path) -> Path:
    """Return the newest checkpoint of ``folder``, which is whole.

    Raises
    ------
    RecordError
        When there is none, or when the newest is damaged: the message then names the newest good
        one, for to go back further than was asked is not ours to decide.
    """
    found = stored(folder)
    if not found:
        raise RecordError(
            f"{folder}: expected a checkpoint to resume from, found none; leave out --resume"
        )
    try:
        check_whole(found[-1])
    except RecordError as error:
        good = next((path for path in reversed(found[:-1]) if _is_whole(path)), None)
        advice = f"the one before is good: --resume-from {good}" if good else "start anew"
        raise RecordError(f"{str(error).rpartition(';')[0]}; {advice}") from error
    return found[-1]


def refuse_stored(folder: Path) -> None:
    """Refuse to start anew where a run has left checkpoints: they would be mixed with its own."""
    if found := stored(folder):
        raise RecordError(
            f"{folder}: expected no checkpoints to begin with, found {found[-1].name}; give"
            " --resume to go on from it, or another folder with --checkpoints"
        )


def _is_whole(path: Path) -> bool:
    try:
        check_whole(path)
    except RecordError:
        return False
    return True


def _read(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Return header and body of a file whose checksum is right."""
    advice = "resume from another one"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _wrong(path, "a readable file", str(error.strerror), advice) from error
    if data[: len(MAGIC)] != MAGIC:
        raise _wrong(path, f"the first bytes {MAGIC!r}", repr(data[: len(MAGIC)]), advice)
    if hashlib.sha256(data[:-CHECKSUM_BYTES]).digest() != data[-CHECKSUM_BYTES:]:
        got = f"{len(data)} bytes that do not, so it is damaged or cut short"
        raise _wrong(path, "content that agrees with its checksum", got, advice)
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    start = len(MAGIC) + _LENGTH.size
    header = json.loads(data[start : start + length])
    if header["schema"] != SCHEMA:
        raise _wrong(path, f"schema {SCHEMA}", repr(header["schema"]), advice)
    return header, memoryview(data)[start + length : -CHECKSUM_BYTES]


def _difference(mine: Any, other: Any) -> str:
    """Return ``mine``, of a mapping only what is another in ``other``."""
    if not isinstance(mine, dict) or not isinstance(other, dict):
        return repr(mine)
    return ", ".join(f"{k} {mine[k]!r}" for k in sorted(mine) if mine[k] != other.get(k))


def _wrong(path: Path, expected: str, got: str, advice: str) -> RecordError:
    return RecordError(f"checkpoint {path}: expected {expected}, got {got}; {advice}")
