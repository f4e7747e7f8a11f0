"""The text of a model file: its tables and values, with errors that name the line."""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.errors import ModelError
from hwprofiles.registry import lookup
from planner.layer import INPUT, Shape
from planner.layercheck import (
    MOST_SIDE,
)

MOST_BYTES = 4 * 1024 * 1024
"""Of a file of layers."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Table = Mapping[str, object]


def text_of(path: Path) -> str:
    """Return the text of a model file.

    Raises
    ------
    ModelError
        When it cannot be read, is too large or is not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ModelError(f"{path}: expected at most {MOST_BYTES:,} bytes of TOML, got more")
        return raw.decode()
    except OSError as error:
        raise ModelError(
            f"{path}: expected a model file, got {error.strerror}; check the path"
        ) from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ModelError(
            f"{path}, line {line}: expected text in UTF-8, got byte 0x{raw[error.start]:02x}"
        ) from error


@dataclass(slots=True)
class ModelText:
    """A file of which every error names the line."""

    path: Path
    text: str

    def data(self) -> dict[str, object]:
        """Parse the TOML."""
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", message)
            line = found[1] if found and found[1] else len(self.text.splitlines())
            got = message[: found.start()] if found else message
            raise ModelError(f"{self.path}, line {line}: expected TOML, got: {got}") from error
        except RecursionError as error:
            raise ModelError(f"{self.path}: expected TOML, got values nested too deep") from error

    def line(self, table: tuple[str, int] | None, key: str) -> int:
        """Find the line of a key of the ``i``-th table of a name, else that of its header."""
        rows = self.text.splitlines()
        headers = [i for i, row in enumerate(rows) if row.lstrip().startswith("[")]
        first, end = 0, headers[0] if headers else len(rows)
        if table:
            named = re.compile(rf"\s*\[\[\s*{table[0]}\s*\]\]")
            own = [i for i in headers if named.match(rows[i])]
            first = own[table[1]] if table[1] < len(own) else 0
            end = min((i for i in headers if i > first), default=len(rows))
        keyed = re.compile(rf"\s*\"?{re.escape(key)}\"?\s*=")
        return 1 + next((i for i in range(first, end) if key and keyed.match(rows[i])), first)

    def error(
        self, expected: str, got: object, table: tuple[str, int] | None = None, key: str = ""
    ) -> ModelError:
        """Return the error at a key of a table; ``got`` as it is where it is text of ours."""
        shown = got if isinstance(got, str) and got in ("none", "nothing") else repr(got)
        return ModelError(f"{self.at(table, key)}: {expected}, got {shown}")

    def at(self, table: tuple[str, int] | None = None, key: str = "") -> str:
        """File and line of a key of a table."""
        return f"{self.path}, line {self.line(table, key)}"

    def check_known(
        self, what: str, name: str, known: Collection[str], at: tuple[str, int] | None, key: str
    ) -> None:
        """Refuse a name that is not among ``known``."""
        if name not in known:  # the line is looked for in an error only
            lookup(f"{self.at(at, key)}: {what}", name, list(known), error=ModelError)

    def check_keys(
        self, what: str, data: Table, known: Mapping[str, bool], at: tuple[str, int] | None = None
    ) -> None:
        """Refuse unknown keys, and the lack of one that must be there."""
        for key in data:
            self.check_known(f"key of {what}", key, known, at, key)
        for key, needed in known.items():
            if needed and key not in data:
                raise self.error(f"{what}: expected {key!r}", "none", at)

    def name_of(self, what: str, data: Table, at: tuple[str, int] | None = None) -> str:
        """Return the name of a table."""
        name = data.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name) or name == INPUT:
            expected = f"{what}: expected a name of letters, digits, '_', '.' and '-'"
            raise self.error(f"{expected} other than {INPUT!r}", name, at, "name")
        return name

    def number(self, data: Table, key: str, *, most: int, at: tuple[str, int] | None = None) -> int:
        """Return a whole number from 1 to ``most``."""
        value = data[key]
        if type(value) is not int or not 1 <= value <= most:
            raise self.error(f"{key}: expected a whole number from 1 to {most}", value, at, key)
        return value

    def switch(self, data: Table, key: str) -> bool:
        """Return yes or no; no where it is not given."""
        value = data.get(key, False)
        if type(value) is not bool:
            raise self.error(f"{key}: expected true or false", value, key=key)
        return value

    def shape(self, data: Table, key: str) -> Shape:
        """Return a shape per sample."""
        value = data[key]
        sides = value if isinstance(value, list) else []
        if len(sides) not in (1, 2, 3) or any(
            type(x) is not int or not 1 <= x <= MOST_SIDE for x in sides
        ):
            raise self.error(f"{key}: expected a shape such as [3, 224, 224]", value, key=key)
        if key == "input" and len(sides) == 2:
            raise self.error("input: expected [C, H, W] or [F]", value, key=key)
        return tuple(sides)

    def tables(self, data: Table, key: str) -> list[Table]:
        """Return an array of tables."""
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(x, dict) for x in value):
            raise self.error(f"{key}: expected [[{key}]] tables", value, key=key)
        return value

    def strings(self, data: Table, key: str, at: tuple[str, int]) -> list[str]:
        """Return a list of names that is not empty."""
        value = data[key]
        if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
            raise self.error(f"{key}: expected a list of names", value, at, key)
        return value
