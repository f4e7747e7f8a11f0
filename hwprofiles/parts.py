"""Parts from TOML: devices, links and clusters, by name or from a user's own file.

Vendor units stand in the keys and end here. All problems of a file are told in one sentence.
"""

import tomllib
from collections.abc import Callable, Iterable
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwprofiles.cluster import Cluster
from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.link import Link
from hwprofiles.registry import lookup, names
from hwprofiles.units import GB, GIB, TFLOP, US

DATA = "hwprofiles.data"
MAX_DEVICES = 1_000_000  # above any machine there is: a slip must not fill the memory

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class _Block(BaseModel):
    """Any table of a file: no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Sourced(_Block):
    source: Text
    note: str = ""


class _Memory(_Sourced):
    """Exactly one capacity: 1 GB = 1000^3 bytes, 1 GiB = 1024^3 bytes."""

    capacity_bytes: Annotated[int, Field(gt=0)] | None = None
    capacity_gb: Positive | None = None
    capacity_gib: Positive | None = None
    bandwidth_gb_per_s: Positive

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        given = [c for c in (self.capacity_bytes, self.capacity_gb, self.capacity_gib) if c]
        if len(given) != 1:
            raise ValueError("should have exactly one of capacity_bytes, _gb and _gib")
        return self

    @property
    def total_bytes(self) -> int:
        in_gb, in_gib = self.capacity_gb or 0, self.capacity_gib or 0
        return self.capacity_bytes or round(in_gb * GB + in_gib * GIB)


class _Peak(_Sourced):
    """Dense peaks; a ``_matrix`` key is the matrix unit's where the vector unit has another."""

    float64_tflop_per_s: Positive | None = None
    float64_matrix_tflop_per_s: Positive | None = None
    float32_tflop_per_s: Positive | None = None
    float32_matrix_tflop_per_s: Positive | None = None
    float16_tflop_per_s: Positive | None = None
    float16_matrix_tflop_per_s: Positive | None = None
    bfloat16_tflop_per_s: Positive | None = None
    bfloat16_matrix_tflop_per_s: Positive | None = None

    @model_validator(mode="after")
    def _vector_beside_matrix(self) -> Self:
        rates = self.flop_per_s
        if not rates:
            raise ValueError("should have a rate, e.g. float32_tflop_per_s")
        for dtype in rates:
            if (plain := dtype.removesuffix("_matrix")) not in rates:
                raise ValueError(f"should have {plain}_tflop_per_s beside {dtype}_tflop_per_s")
        return self

    @property
    def flop_per_s(self) -> dict[str, float]:
        suffix = "_tflop_per_s"
        keys = (key for key in type(self).model_fields if key.endswith(suffix))
        rates = ((key.removesuffix(suffix), getattr(self, key)) for key in keys)
        return {dtype: rate * TFLOP for dtype, rate in rates if rate is not None}


class _Execution(_Sourced):
    launch_overhead_us: NotNegative = 0.0
    transfers_hold_compute: bool = False


class _Power(_Sourced):
    board_w: Positive


class _Price(_Sourced):
    usd_per_h: Positive
    date: Text


class _DeviceFile(_Block):
    title: Text
    kind: Literal["cpu", "gpu", "tpu"]
    note: str = ""
    memory: _Memory
    peak: _Peak
    execution: _Execution | None = None
    power: _Power | None = None
    price: _Price | None = None


class _LinkFile(_Sourced):
    title: Text
    bandwidth_gb_per_s: Positive
    latency_us: NotNegative
    flow_cap_gb_per_s: Positive | None = None


class _Devices(_Block):
    part: Text
    count: Annotated[int, Field(ge=1, le=MAX_DEVICES)] = 1


class _Edge(_Block):
    """One wire; both directions unless ``directed``. An end is a device number or a switch."""

    start: int | str = Field(alias="from")
    end: int | str = Field(alias="to")
    link: Text
    directed: bool = False


class _Fabric(_Sourced):
    switches: list[Text] = []
    edges: list[_Edge] = []


class _ClusterFile(_Sourced):
    title: Text
    devices: Annotated[list[_Devices], Field(min_length=1)]
    fabric: _Fabric | None = None


Kind = Literal["device", "link", "cluster"]
_File = TypeVar("_File", bound=_Block)
_Part = TypeVar("_Part", Device, Link)


def load_device(name_or_path: str | Path) -> Device:
    """Return the device of ``hwprofiles/data/devices/NAME.toml``, or of a path to a TOML file.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name, _, content = _read("device", name_or_path, _DeviceFile)
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


def load_link(name_or_path: str | Path) -> Link:
    """Return one direction of a link, from ``hwprofiles/data/links/NAME.toml`` or a path.

    Raises
    ------
    ProfileError
        Unknown name, no such file, or a file that is wrong: all its problems at once.
    """
    name, _, content = _read("link", name_or_path, _LinkFile)
    cap = content.flow_cap_gb_per_s
    return Link(
        name=name,
        bandwidth_bytes_per_s=content.bandwidth_gb_per_s * GB,
        overheads=((0.0, content.latency_us * US),),
        flow_cap_bytes_per_s=cap * GB if cap else float("inf"),
        source=f"{content.title}; {content.source}",
    )


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


def _read(kind: Kind, name_or_path: str | Path, model: type[_File]) -> tuple[str, str, _File]:
    """Return the name of a part, how an error calls it, and its validated content."""
    name = str(name_or_path)
    if not name.endswith(".toml"):
        lookup(kind, name, part_names(kind))
        shipped = resources.files(f"{DATA}.{kind}s").joinpath(f"{name}.toml")
        where = f"{kind} {name!r}"
        return name, where, _parse(where, shipped.read_text(encoding="utf-8"), model)
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
