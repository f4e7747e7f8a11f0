"""What published tables call things: ``names.toml``, read once."""

import csv
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hwprofiles.errors import RecordError

NOTHING = ("", "n/a", "na", "nan", "none", "null", "no", "-", "unknown", "not stated")
"""What tables write where there is nothing, or nothing is stated."""


class Unsaid(Exception):
    """Why a row cannot be expressed; not an error of the user."""


@cache
def names() -> Mapping[str, Any]:
    """Return the content of ``names.toml``."""
    return tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))


def lines_of(
    path: Path, kind: str, needed: Sequence[tuple[str, ...]]
) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table by column, each with its line; text without blanks around it.

    Columns are called in lower case. ``kind`` says what a row is, ``needed`` which columns there
    must be, one of each group.

    Raises
    ------
    RecordError
        When the file cannot be read, lacks a column that is needed, or has no rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = {name: name.strip().lower() for name in reader.fieldnames or ()}
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(
            f"{path}: expected a table of published {kind}s, got"
            f" {getattr(error, 'strerror', None) or error}; name a CSV file"
        ) from error
    firsts = sorted(group[0] for group in needed)
    if missing := sorted(group[0] for group in needed if not {*group} & {*columns.values()}):
        raise RecordError(
            f"{path}: expected columns {', '.join(firsts)}, got none called"
            f" {', '.join(missing)}; add them"
        )
    if not lines:
        raise RecordError(f"{path}: expected at least one {kind}, got none; add a row")
    return [
        (number, {columns[key]: (value or "").strip() for key, value in line.items() if key})
        for number, line in lines
    ]


def whole_of(text: str) -> int | None:
    """Return a whole number as spreadsheets and people write it, None where it is none.

    >>> whole_of("1,024"), whole_of("64.0"), whole_of("8 GPUs"), whole_of("2x8"), whole_of("-5")
    (1024, 64, 8, None, None)
    """
    bare = re.sub("(?i) ?(gpu|device|chip|card|core|worker|node)s?$", "", text)
    bare = re.sub("(?<=[0-9])(,(?=[0-9]{3}$)|[.]0*$)", "", bare)
    return int(bare) if re.fullmatch("[0-9]+", bare) else None


def plain(text: str) -> str:
    """Return text in lower case, with one blank for hyphens, underscores and blanks.

    >>> plain("Parameter_Server (CPU)"), plain("AMP-FP16")
    ('parameter server (cpu)', 'amp fp16')
    """
    return re.sub("[ _-]+", " ", text.lower()).strip()
