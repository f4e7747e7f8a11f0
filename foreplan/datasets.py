"""Record files: writing them, and finding those that a model trains on."""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

from foreplan.machines import data_folder
from hwprofiles.errors import RecordError
from planner.model import ModelGraph, load_model
from runtime.record_header import RecordHeader
from runtime.records import RecordFile

Rules = dict[str, tuple[object, bool, str]]
"""By name of an argument: what it is, whether it may be, and what it should be."""
TRAIN, TEST = "-train.rec", "-test.rec"
DIGITS = ("digits-train.rec", "digits-test.rec")
MOST_CLASSES, MOST_SAMPLE_BYTES = 65536, 1 << 30


def write_digits(folder: Path | None = None, seed: int = 0) -> tuple[Path, Path]:
    """Write scikit-learn's handwritten digits as record files; return (train, test)."""
    from runtime.digits import write_digits as write

    return write(_made(data_folder(folder)), seed)


def write_synthetic(
    shape: tuple[int, ...],
    classes: int,
    count: int,
    folder: Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Path, Path]:
    """Write random samples of one shape with random labels as record files; return (train, test).

    Raises
    ------
    RecordError
        When the shape, the classes or the count cannot be, or the folder cannot be written.
    """
    from runtime.synthetic import write_synthetic as write

    sizes = len(shape) in (1, 2, 3) and min(shape) >= 1 and prod(shape) <= MOST_SAMPLE_BYTES
    rules = {
        "shape": (shape, sizes, f"one to three sides >= 1, at most {MOST_SAMPLE_BYTES} in all"),
        "classes": (classes, 1 <= classes <= MOST_CLASSES, f"1 to {MOST_CLASSES}"),
    }
    _check(rules | _amounts(count, seed))
    return write(_made(data_folder(folder)), shape, classes, count, seed, progress)


def write_synthetic_for(
    model: str,
    count: int,
    folder: Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Path, Path]:
    """Write random records that the model called ``model`` takes; return (train, test).

    Raises
    ------
    ForeplanError
        When there is no such model, the count cannot be, or the folder cannot be written.
    """
    from runtime.synthetic import write_synthetic as write
    from runtime.synthetic import write_synthetic_text as write_tokens

    found = load_model(model)
    _check(_amounts(count, seed))
    place = _made(data_folder(folder))
    if found.reads_tokens:
        return write_tokens(place, found, count, seed, progress)
    shape, scale = found.record_shape, found.full_scale
    return write(place, shape, found.classes, count, seed, progress, scale)


def _amounts(count: int, seed: int) -> Rules:
    return {
        "count": (count, count >= 2, "at least 2, one to train on and one to test"),
        "seed": (seed, seed >= 0, "at least 0"),
    }


def _check(rules: Rules) -> None:
    for name, (value, holds, expected) in rules.items():
        if not holds:
            raise RecordError(f"{name}: expected {expected}, got {value}; give another value")


def write_text(
    folder: Path | None = None, files: Sequence[Path] = (), seq: int | None = None, seed: int = 0
) -> tuple[Path, Path]:
    """Write text as record files of ``seq`` bytes and the one after; return (train, test).

    The text is that of ``files``, or else of the sources of Python's standard library.
    """
    from runtime.text import TOKENS
    from runtime.text import write_text as write

    return write(_made(data_folder(folder)), files, seq or TOKENS, seed)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(
            f"{folder}: expected a folder to write records to, got {error.strerror}; name another"
        ) from error
    return folder


def record_files(model: ModelGraph, data: Path | None) -> tuple[Path, Path]:
    """Return the files in a folder that ``model`` trains on and is tested on.

    Raises
    ------
    RecordError
        When no pair of files, or more than one, has records of the model.
    """
    folder = data_folder(data)
    wanted = _described(model.record_shape, model.record_dtype, model.full_scale, model.classes)
    found, others, faults = [], [], []
    for path in sorted(folder.glob(f"*{TRAIN}")):
        try:
            header = _header(path)
        except RecordError as error:
            faults.append(error)
            continue
        if fits(header, model):
            found.append(path)
        else:
            facts = header.sample_shape, header.dtype, header.full_scale, header.classes
            others.append(f"{path.name} of {_described(*facts)}")
    if faults and not found:
        raise faults[0]
    if len(found) != 1:
        many = f"{len(found)}: {', '.join(path.name for path in found)}" if found else ""
        raise RecordError(
            f"{folder}: expected one file *{TRAIN} of the records of {model.name!r} ({wanted}),"
            f" found {many or ', '.join(others) or 'none'}; "
            + ("name a folder with one" if found else f"run `{model.data_command}`")
        )
    test = found[0].with_name(found[0].name.removesuffix(TRAIN) + TEST)
    if not fits(_header(test), model):
        raise RecordError(
            f"{test}: expected records like those of {found[0].name}, got others; write both again"
        )
    return found[0], test


def fits(header: RecordHeader, model: ModelGraph) -> bool:
    """Whether records are those that a model takes; it may know classes that they do not have."""
    return (
        header.sample_shape == model.record_shape
        and header.record_bytes == model.record_bytes
        and (header.dtype, header.labels) == (model.record_dtype, model.record_labels)
        and header.full_scale == model.full_scale
        and header.classes <= model.classes
    )


def _header(path: Path) -> RecordHeader:
    with RecordFile(path) as file:
        return file.header


def _described(shape: tuple[int, ...], dtype: str, full_scale: int, classes: int) -> str:
    numbers = f"bytes to {full_scale}" if dtype == "uint8" else f"numbers of {dtype}"
    return f"{'x'.join(map(str, shape))}, {numbers}, {classes} classes"
