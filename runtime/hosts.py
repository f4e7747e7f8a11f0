"""Several hosts: the hosts file, and what they must share."""

import re
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.errors import RecordError

_LINE = re.compile(r"([A-Za-z0-9_.-]+)(?::([0-9]+))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """The hosts of a run, in the order in which their slots are filled."""

    path: Path
    """The file, in the form of MPICH's mpiexec: ``name`` or ``name:slots``, a line each."""
    slots: tuple[tuple[str, int], ...]
    shared: Path
    """A folder that all hosts see under this name; the job is handed over in it."""

    @property
    def workers(self) -> int:
        """Workers that there is room for."""
        return sum(slots for _, slots in self.slots)


def read_hosts(path: Path, shared: Path) -> Hosts:
    """Read a hosts file: a line ``name`` or ``name:slots`` for each host, ``#`` for remarks.

    Raises
    ------
    RecordError
        When it cannot be read, names no host, or a line is none of these.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise RecordError(f"{path}: expected a hosts file, got {why}; check the path") from error
    slots: list[tuple[str, int]] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        found = _LINE.match(text)
        if found is None or found[2] == "0":
            raise RecordError(
                f"{path}: line {number}: expected a name, or name:slots with at least 1 slot, got"
                f" {text!r}; correct it"
            )
        if found[1] in dict(slots):
            raise RecordError(
                f"{path}: line {number}: expected each host once, got {found[1]} again; give its"
                " slots in one line"
            )
        slots.append((found[1], int(found[2] or 1)))
    if not slots:
        raise RecordError(f"{path}: expected at least one host, got none; add a line name:slots")
    return Hosts(path=path.resolve(), slots=tuple(slots), shared=shared)
