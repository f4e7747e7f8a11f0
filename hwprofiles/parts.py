"""Parts from TOML: devices, links and clusters, by name or from a user's own file.

Vendor units stand in the keys and end here. All problems of a file are told in one sentence.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from hwprofiles.cluster import Cluster
from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.facts import Block, DevicePart, LinkPart, Sourced, Text
from hwprofiles.link import Link
from hwprofiles.registry import names
from hwprofiles.units import GB, US

DATA = "hwprofiles.data"
MAX_DEVICES = 1_000_000  # above any machine there is: a slip must not fill the memory
NEAREST, LISTED = 5, 12  # an error names so many near parts, and all of them only up to so many


class _Devices(Block):
    part: Text
    count: Annotated[int, Field(ge=1, le=MAX_DEVICES)] = 1


class _Edge(Block):
    """One wire; both directions unless ``directed``. An end is a device number or a switch."""

    start: int | str = Field(alias="from")
    end: int | str = Field(alias="to")
    link: Text
    directed: bool = False


class _Fabric(Sourced):
    switches: list[Text] = Field(default_factory=list)
    edges: list[_Edge] = Field(default_factory=list)


class _ClusterFile(Sourced):
    title: Text
    devices: Annotated[list[_Devices], Field(min_length=1)]
    fabric: _Fabric | None = None


Kind = Literal["device", "link", "cluster"]
_File = TypeVar("_File", bound=Block)
_Part = TypeVar("_Part", Device, Link)


def load_device(name_or_path: str | Path) -> Device:
    """Return the device of ``hwprofiles/data/devices/NAME.toml``, or of a path to a TOML file.

    An alias is as good as the name; the device carries the name.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name, _, content = _read("device", name_or_path, DevicePart)
    execution, power, price = content.execution, content.power, content.price
    return Device(
        name=name,
        kind=content.kind,
        memory_bytes=content.memory.total_bytes,
        memory_bytes_per_s=content.memory.bandwidth_gb_per_s * GB,
        peak_flop_per_s=content.peak.flop_per_s,
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
    return _read("device", name_or_path, DevicePart)[2]


def load_link(name_or_path: str | Path) -> Link:
    """Return one direction of a link, from ``hwprofiles/data/links/NAME.toml`` or a path.

    Its bandwidth is the raw one; :attr:`LinkPart.achievable_gb_per_s` says what was measured.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name, _, content = _read("link", name_or_path, LinkPart)
    cap = content.flow_cap_gb_per_s
    return Link(
        name=name,
        bandwidth_bytes_per_s=content.bandwidth_gb_per_s * GB,
        overheads=((0.0, content.latency_us * US),),
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
    return _read("link", name_or_path, LinkPart)[2]


def load_cluster(name_or_path: str | Path) -> Cluster:
    """Return the cluster of ``hwprofiles/data/clusters/NAME.toml``, or of a path to a TOML file.

    Devices are numbered in the order of the file. Parts are shipped ones by name, or files of the
    user by a path from the folder of the cluster's file.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name, where, content = _read("cluster", name_or_path, _ClusterFile)
    folder = Path(name_or_path).parent
    fabric = content.fabric or _Fabric(source="none")
    problems: list[str] = []
    parts = (block.part for block in content.devices)
    devices = _load_all(load_device, parts, folder, problems)
    links = _load_all(load_link, (edge.link for edge in fabric.edges), folder, problems)
    problems += _lost_ends(fabric, sum(block.count for block in content.devices))
    if problems:
        raise ProfileError(f"{where}: {'; '.join(problems)}")
    directed: list[tuple[int | str, int | str, Link]] = []
    for edge in fabric.edges:
        directed.append((edge.start, edge.end, links[edge.link]))
        if not edge.directed:
            directed.append((edge.end, edge.start, links[edge.link]))
    return Cluster.from_edges(
        name,
        chain.from_iterable([devices[block.part]] * block.count for block in content.devices),
        directed,
        source=f"{content.title}; {content.source}",
    )


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
    near: dict[str, str] = {}
    for text in _near(name.lower().replace(" ", "-").replace("_", "-"), [*known, *aliases]):
        near.setdefault(aliases.get(text, text), f" ({text})" if text in aliases else "")
    likely = [part + alias for part, alias in near.items()][:NEAREST]
    hint = f"did you mean {' or '.join(likely)}? " if likely else ""
    every = "known: " + ", ".join(known) if len(known) <= LISTED else f"{len(known)} are known"
    raise ProfileError(f"{kind} {name!r}: unknown; {hint}{every}")


def _near(name: str, known: list[str]) -> list[str]:
    """Return the known names that contain ``name``, shortest first, then those spelt alike."""
    holding = sorted((text for text in known if name in text), key=lambda text: (len(text), text))
    return [*holding, *get_close_matches(name, known, n=NEAREST, cutoff=0.5)]


def _shipped(kind: Kind, name: str) -> str:
    return resources.files(f"{DATA}.{kind}s").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _read(kind: Kind, name_or_path: str | Path, model: type[_File]) -> tuple[str, str, _File]:
    """Return the name of a part, how an error calls it, and its validated content."""
    name = str(name_or_path)
    if not name.endswith(".toml"):
        name = part_name(kind, name)
        where = f"{kind} {name!r}"
        return name, where, _parse(where, _shipped(kind, name), model)
    where = f"{kind} file {name!r}"
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{where}: expected a TOML file, got: {error}") from error
    return Path(name).stem, where, _parse(where, text, model)


def _parse(where: str, text: str, model: type[_File]) -> _File:
    """Return the validated content of a file; raise with every problem in one sentence."""
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{where}: expected TOML, got: {error}") from error
    except ValidationError as error:
        problems = dict.fromkeys(_problem(detail) for detail in error.errors())
        raise ProfileError(f"{where}: {'; '.join(problems)}") from error


def _problem(detail: Any) -> str:
    """Return key, expected and got of one of pydantic's errors."""
    # A union names its members at the end of the place ("from.int"); a reader knows keys only.
    places = [p for p in detail["loc"] if p not in ("int", "str")]
    key = ".".join(map(str, places)) or "the file"
    if detail["type"] == "missing":
        return f"{key}: expected, but not there"
    if detail["type"] == "extra_forbidden":
        return f"{key}: not a key of this block"
    if detail["type"] == "value_error":
        return f"{key}: {detail['msg'].removeprefix('Value error, ')}"
    return f"{key}: {detail['msg'].removeprefix('Input ')}, got {detail['input']!r}"


def _load_all(
    load: Callable[[str | Path], _Part], parts: Iterable[str], folder: Path, problems: list[str]
) -> dict[str, _Part]:
    """Load every part once, by the text that names it; add what is wrong to ``problems``."""
    loaded = {}
    for part in dict.fromkeys(parts):
        try:
            loaded[part] = load(folder / part if part.endswith(".toml") else part)
        except ProfileError as error:
            problems.append(str(error))
    return loaded


def _lost_ends(fabric: _Fabric, devices: int) -> list[str]:
    """Return a sentence for every end of an edge that is neither a device nor a switch."""
    switches = ", ".join(fabric.switches) or "none"
    return [
        f"fabric.edges.{place}.{key}: expected a device 0 to {devices - 1} or a switch"
        f" ({switches}), got {end!r}"
        for place, edge in enumerate(fabric.edges)
        for key, end in (("from", edge.start), ("to", edge.end))
        if not (0 <= end < devices if isinstance(end, int) else end in fabric.switches)
    ]
