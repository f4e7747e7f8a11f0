"""Facts of a cluster: what its TOML file may say, in the vendor's units.

A file says of what devices a node is made, how the node joins them (``[fabric]``, ``[host]``), and
how nodes are joined (``[network]``). Each of these blocks names a builder of
:mod:`hwprofiles.fabrics`; its other keys are that builder's arguments.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import Parameter, signature
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError, create_model, model_validator

from hwprofiles.errors import ProfileError
from hwprofiles.fabrics.base import Wire
from hwprofiles.facts import Block, Count, Positive, Sourced, Text
from hwprofiles.problems import Faults, problem
from hwprofiles.registry import lookup, names
from hwprofiles.routing import Paths

MAX_DEVICES = 1_000_000  # above any machine there is: a slip must not fill the memory
FABRICS = "hwprofiles.fabrics"


class Edge(Block):
    """One wire; both directions unless ``directed``. An end is a device number or a switch."""

    start: int | str = Field(alias="from")
    end: int | str = Field(alias="to")
    link: Text
    directed: bool = False


class Devices(Block):
    """Devices of one kind, numbered after those of the block before."""

    part: Text
    count: Annotated[int, Field(ge=1, le=MAX_DEVICES)] = 1


class Nodes(Block):
    """Nodes of one kind: the node of another cluster file."""

    system: Text
    count: Count = 1


class BuilderBlock(Sourced):
    """A block whose further keys are the arguments of the builder that it names."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    builder: Text

    @model_validator(mode="after")
    def _keys_are_the_builders(self) -> Self:
        try:
            builder(self.builder)[1].model_validate(self.arguments)
        except ValidationError as error:
            found = dict.fromkeys(problem(detail) for detail in error.errors())
            raise Faults(list(found)) from error
        except ProfileError as error:
            raise Faults([str(error)]) from error
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The keys that are the builder's, as the file has them."""
        return dict(self.model_extra or {})

    def build(self, ends: int) -> Iterator[Wire]:
        """Return the wires that join ``ends`` things.

        Raises
        ------
        ProfileError
            The arguments do not fit each other, or ``ends``.
        """
        build, keys = builder(self.builder)
        told = keys.model_validate(self.arguments)
        wires: Iterator[Wire] = build(
            ends, **{key: getattr(told, key) for key in type(told).model_fields}
        )
        return wires


class Fabric(BuilderBlock):
    """The links between the devices of a node."""

    builder: Text = "edge-list"


class Host(BuilderBlock):
    """The host of a node: the way from its devices to its sockets and NICs."""

    builder: Text = "pcie-tree"
    cpu: Text | None = None
    cores: Count | None = None
    """Of all sockets; of a virtual machine, its virtual CPUs."""
    memory_gb: Positive | None = None
    """As the vendor prints it: the maker of a server means GiB, most clouds do too."""
    disk: Text | None = None
    disk_gb_per_s: Positive | None = None


class Network(BuilderBlock):
    """What joins nodes, NIC to NIC, or device to device where the NICs are on the devices."""

    paths: Paths = "first"
    flow_cap_gb_per_s: Positive | None = None
    """Most that one transfer gets, where the provider or the protocol bounds it."""


class NodePower(Sourced):
    """Most that a node draws by design."""

    node_kw: Positive


class NodePrice(Sourced):
    """Price of one node for an hour."""

    usd_per_h: Positive
    date: Text


class ClusterPart(Sourced):
    """All that the file of a cluster says."""

    title: Text
    aliases: list[Text] = Field(default_factory=list)
    vendor: Text | None = None
    year: int | None = None
    devices: list[Devices] = Field(default_factory=list)
    """Of one node."""
    nodes: list[Nodes] = Field(default_factory=list)
    """Instead of ``devices``: nodes that other files describe."""
    count: Count = 1
    """Nodes where the user asks for no number."""
    fabric: Fabric | None = None
    host: Host | None = None
    network: Network | None = None
    power: NodePower | None = None
    price: NodePrice | None = None

    @model_validator(mode="after")
    def _devices_or_nodes(self) -> Self:
        if bool(self.devices) == bool(self.nodes):
            raise ValueError("should have either devices or nodes")
        if self.nodes and (self.fabric or self.host or self.count > 1):
            raise ValueError("should have fabric, host and count only beside devices")
        if not self.network and (self.count > 1 or self.node_count > 1):
            raise ValueError("should have network, for there is more than one node")
        return self

    @property
    def node_count(self) -> int:
        """Nodes where the user asks for no number."""
        return sum(block.count for block in self.nodes) if self.nodes else self.count


def builder_names() -> list[str]:
    """Return the names of the builders, sorted."""
    return [stem.replace("_", "-") for stem in names(FABRICS)]


@cache
def builder(name: str) -> tuple[Any, type[Block]]:
    """Return ``build`` of the named builder, and the model that its arguments must meet.

    Raises
    ------
    ProfileError
        Unknown; the message has the nearest names.
    """
    stem = lookup("builder", name, builder_names()).replace("-", "_")
    build = import_module(f"hwprofiles.fabrics.{stem}").build
    fields: dict[str, Any] = {
        key: (told.annotation, ... if told.default is Parameter.empty else told.default)
        for key, told in signature(build, eval_str=True).parameters.items()
        if told.kind is Parameter.KEYWORD_ONLY
    }
    return build, create_model(name, __base__=Block, **fields)
