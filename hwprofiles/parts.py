"""Parts from TOML: devices and links, by name or from a user's own file; any file of parts.

Vendor units stand in the keys and end here. All problems of a file are told in one sentence.
"""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.facts import Block, DevicePart, LinkPart
from hwprofiles.link import Link
from hwprofiles.problems import problem
from hwprofiles.registry import names
from hwprofiles.units import GB, US

DATA = "hwprofiles.data"
NEAREST, LISTED = 5, 12  # an error names so many near parts, and all of them only up to so many


Kind = Literal["device", "link", "cluster"]
_File = TypeVar("_File", bound=Block)


def load_device(name_or_path: str | Path) -> Device:
    """Return the device of ``hwprofiles/data/devices/NAME.toml``, or of a path to a TOML file.

    An alias is as good as the name; the device carries the name.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name, _, content = read_part("device", name_or_path, DevicePart)
    execution, power, price = content.execution, content.power, content.price
    return Device(
        name=name,
        kind=content.kind,
        memory_bytes=content.memory.total_bytes,
        memory_bytes_per_s=content.memory.bandwidth_gb_per_s * GB,
        peak_flop_per_s=content.peak.flop_per_s,
        cores=content.compute.cores or 1 if content.compute else 1,
        launch_overhead_s=execution.launch_overhead_us * US if execution else 0.0,
        transfers_hold_compute=execution.transfers_hold_compute if execution else False,
        power_w=power.board_w if power else None,
        price_usd_per_h=price.usd_per_h if price else None,
        source=f"{content.title}; peaks: {content.peak.source}; memory: {content.memory.source}",
    )


def device_facts(name_or_path: str | Path) -> DevicePart:
    """Return all that the file of a device says, in the vendor's units and with every source.

    Raises
    ------
    ProfileError
        As :func:`load_device`.
    """
    return read_part("device", name_or_path, DevicePart)[2]


def load_link(name_or_path: str | Path) -> Link:
    """Return one direction of a link, from ``hwprofiles/data/links/NAME.toml`` or a path.

    Its bandwidth is the raw one, as the design has it: facts are the wire's, and what a library
    makes of a wire is a constant of that library, in the file of its fit. The measured shares in
    :attr:`LinkPart.achievable_gb_per_s` are of several kinds (a copy, a bus bandwidth over eight),
    so taking them here would count the library twice once a stack is fitted. Where the latency is
    of a switch alone, the endpoint's share is added: a transfer crosses two such links.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name, _, content = read_part("link", name_or_path, LinkPart)
    cap = content.flow_cap_gb_per_s
    return Link(
        name=name,
        bandwidth_bytes_per_s=content.bandwidth_gb_per_s * GB,
        overheads=((0.0, (content.latency_us + (content.endpoint_us or 0)) * US),),
        flow_cap_bytes_per_s=cap * GB if cap else float("inf"),
        source=f"{content.title}; {content.source}",
    )


def link_facts(name_or_path: str | Path) -> LinkPart:
    """Return all that the file of a link says, in the vendor's units and with its source.

    Raises
    ------
    ProfileError
        As :func:`load_link`.
    """
    return read_part("link", name_or_path, LinkPart)[2]


def part_names(kind: Kind) -> list[str]:
    """Return the names of the shipped parts of one kind, sorted."""
    return names(f"{DATA}.{kind}s", ".toml")


@cache
def part_aliases(kind: Kind) -> Mapping[str, str]:
    """Return the name that each alias of a shipped part stands for; reads every file once."""
    named = ((name, tomllib.loads(_shipped(kind, name))) for name in part_names(kind))
    return {alias: name for name, content in named for alias in content.get("aliases", ())}


def part_name(kind: Kind, name: str) -> str:
    """Return the name of a shipped part, given that or an alias.

    Raises
    ------
    ProfileError
        Unknown; the message has the nearest names and aliases.
    """
    if name in (known := part_names(kind)):
        return name
    if name in (aliases := part_aliases(kind)):
        return aliases[name]
    raise unknown(kind, name, known, aliases)


def unknown(kind: str, name: str, known: Sequence[str], aliases: Mapping[str, str]) -> ProfileError:
    """Return the error that says which names and aliases are nearest."""
    near: dict[str, str] = {}
    for text in _near(name.lower().replace(" ", "-").replace("_", "-"), [*known, *aliases]):
        near.setdefault(aliases.get(text, text), f" ({text})" if text in aliases else "")
    likely = [part + alias for part, alias in near.items()][:NEAREST]
    hint = f"did you mean {' or '.join(likely)}? " if likely else ""
    every = f"{len(known)} are known, `foreplan hw list` names them"
    if len(known) <= LISTED:
        every = f"known: {', '.join(known)}"
    return ProfileError(f"{kind} {name!r}: unknown; {hint}{every}")


def _near(name: str, known: list[str]) -> list[str]:
    """Return the known names that contain ``name``, shortest first, then those spelt alike."""
    holding = sorted((text for text in known if name in text), key=lambda text: (len(text), text))
    return [*holding, *get_close_matches(name, known, n=NEAREST, cutoff=0.5)]


def _shipped(kind: Kind, name: str) -> str:
    return resources.files(f"{DATA}.{kind}s").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def read_part(kind: Kind, name_or_path: str | Path, model: type[_File]) -> tuple[str, str, _File]:
    """Return the name of a part, how an error calls it, and its validated content.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name = str(name_or_path)
    if not name.endswith(".toml"):
        name = part_name(kind, name)
        where = f"{kind} {name!r}"
        return name, where, _parse(where, _shipped(kind, name), model)
    where = f"{kind} file {name!r}"
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ProfileError(f"{where}: expected a TOML file, got {why}; check the path") from error
    return Path(name).stem, where, _parse(where, text, model)


def _parse(where: str, text: str, model: type[_File]) -> _File:
    """Return the validated content of a file; raise with every problem in one sentence."""
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{where}: expected TOML, got: {error}") from error
    except ValidationError as error:
        problems = dict.fromkeys(problem(detail) for detail in error.errors())
        raise ProfileError(f"{where}: {'; '.join(problems)}") from error
