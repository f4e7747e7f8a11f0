"""Constraints on plans, from the command line and from a file: text in, checked values out."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hwprofiles.errors import ForeplanError, PlanError, RecordError
from hwprofiles.units import parse_bytes, parse_s
from planner.algorithms import plan_algorithm
from planner.library_choice import is_policy
from planner.space import Constraints


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise PlanError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("on", "off"):
        raise PlanError(f"expected on or off, got {text!r}")
    return text == "on"


def _algorithm(text: str) -> str:
    return text if text == "none" or is_policy(text) else plan_algorithm("algorithm", text)


COUNTS: dict[str, Callable[[str], object]] = dict.fromkeys(
    ("workers", "microbatch", "input_slots", "activation_slots", "landing_slots"), _count
)
FIX = COUNTS | {"bucket_bytes": parse_bytes, "overlap": _flag, "algorithm": _algorithm}
"""What ``fix`` takes: a field of a plan."""
MAX = COUNTS | {"bucket_bytes": parse_bytes, "memory": parse_bytes, "time": parse_s}
"""What ``max`` takes: a field, the arena of the fullest worker, the time of a step."""
NAMES = {"memory": "memory_bytes", "time": "step_s"}


def constraints(fix: Iterable[str], most: Iterable[str], file: Path | None = None) -> Constraints:
    """Return the constraints of a file, and of the options, which go first.

    Raises
    ------
    PlanError, RecordError
        Naming the option, or the key of the file, that is wrong.
    """
    fixed: dict[str, object] = {}
    limits: dict[str, object] = {}
    if file is not None:
        tables = _read(file)
        fixed |= _values(f"{file}: fix.", tables.get("fix", {}), FIX)
        limits |= _values(f"{file}: max.", tables.get("max", {}), MAX)
    fixed |= _values("--fix ", _pairs("--fix", fix), FIX)
    limits |= _values("--max ", _pairs("--max", most), MAX)
    named = {NAMES.get(name, name): float(str(value)) for name, value in limits.items()}
    return Constraints(fixed=fixed, most=named)


def _pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Split ``name=value`` texts."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise PlanError(f"{option} {text!r}: expected NAME=VALUE; name a field and its value")
        if found.get(name, value) != value:
            raise PlanError(
                f"{option} {text}: expected one value of {name}, got {found[name]} too; leave out"
                " one of them"
            )
        found[name] = value
    return found


def _values(
    where: str, texts: Mapping[str, object], known: Mapping[str, Callable[[str], object]]
) -> dict[str, object]:
    """Read every value by its name."""
    found: dict[str, object] = {}
    for name, value in texts.items():
        if name not in known:
            raise PlanError(
                f"{where.strip()}: expected one of {', '.join(known)}, got {name!r}; name one of"
                " these"
            )
        text = {True: "on", False: "off"}.get(value) if isinstance(value, bool) else str(value)
        try:
            found[name] = known[name](str(text))
        except ForeplanError as error:
            raise PlanError(f"{where}{name}: {error}; give another value") from error
    return found


def _read(file: Path) -> dict[str, dict[str, object]]:
    """Read the two tables of a file."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(
            f"{file}: expected a file of constraints, got {error.strerror}; check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{file}: expected TOML, got {error}; correct the file") from error
    for name, table in tables.items():
        if name not in ("fix", "max") or not isinstance(table, dict):
            raise RecordError(
                f"{file}: {name}: expected the tables [fix] and [max] alone; see `foreplan plan"
                " --help`"
            )
    return tables
