"""The layers of a model file, put into a row of blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwprofiles.errors import ModelError
from hwprofiles.registry import names
from planner.layer import INPUT, Layer, Shape, kind_module
from planner.layercheck import (
    MOST_LAYERS,
    SWITCHES,
    attribute_problem,
    attributes,
    shape_problem,
)
from planner.model import Block
from planner.modeltext import ModelText, Table

BLOCK = {"name": True, "layers": True, "count": False}
LAYER = {"name": True, "kind": True, "inputs": False}
"""Keys; true: it must be given."""


@dataclass(slots=True)
class BlockRow:
    """The layers of a file, put into a row of blocks."""

    file: ModelText
    tables: list[Table]
    blocks: list[Table]
    input_shape: Shape
    values: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    """What layers outside blocks may read: full name and shape, by layer or block."""
    owner: dict[str, int] = field(default_factory=dict)
    """By layer or block: the layer that gives it."""
    read_by: set[int] = field(default_factory=set)
    """Layers that another one reads."""
    before: str = INPUT
    full: dict[str, str] = field(default_factory=dict)
    """By layer that is there once: its name in the model, by which others are tied to it."""

    def read(self) -> list[Block]:
        """Return the blocks; layers between blocks are a block without a name."""
        at = self._positions()
        starts = self._block_starts(at)
        self.values[INPUT] = (INPUT, self.input_shape)
        row: list[Block] = []
        i = unrolled = 0
        while i < len(self.tables):
            if i in starts:
                end, block = i + len(self._layers_of(starts[i])), self._block(starts[i], i)
            else:
                end = min((k for k in starts if k > i), default=len(self.tables))
                block = Block(name="", layers=self._run(i, end, self.values, ""))
                self.before = block.layers[-1].name
            unrolled += block.count * len(block.layers)
            if unrolled > MOST_LAYERS:
                raise self.file.error(
                    f"model: expected at most {MOST_LAYERS} layers", unrolled, ("layer", i)
                )
            self.values.pop(INPUT, None)  # a later block would take it for its own input
            row.append(block)
            i = end
        for k, table in enumerate(self.tables[:-1]):
            if k not in self.read_by:
                what = f"layer {table['name']!r}: expected a layer that reads it"
                raise self.file.error(what, "none", ("layer", k))
        return row

    def _positions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for i, table in enumerate(self.tables):
            name = self.file.name_of("layer", table, ("layer", i))
            if name in found:
                raise self.file.error("name: expected one that is new", name, ("layer", i), "name")
            found[name] = i
        return found

    def _layers_of(self, block: int) -> list[str]:
        return self.file.strings(self.blocks[block], "layers", ("block", block))

    def _block_starts(self, at: Mapping[str, int]) -> dict[int, int]:
        """By first layer: the block that begins there."""
        starts: dict[int, int] = {}
        taken: set[int] = set()
        seen = set(at)
        for b, table in enumerate(self.blocks):
            where = ("block", b)
            self.file.check_keys("block", table, BLOCK, where)
            name = self.file.name_of("block", table, where)
            if name in seen:
                raise self.file.error("name: expected one that is new", name, where, "name")
            seen.add(name)
            members = self._layers_of(b)
            for member in members:
                self.file.check_known(f"layer of block {name!r}:", member, at, where, "layers")
            places = [at[x] for x in members]
            run = range(places[0], places[0] + len(places))
            if places != list(run) or taken.intersection(run):
                expected = "layers: expected layers that follow one another, each in one block"
                raise self.file.error(expected, members, where, "layers")
            taken.update(run)
            starts[places[0]] = b
        return starts

    def _block(self, b: int, first: int) -> Block:
        table, where = self.blocks[b], ("block", b)
        name = str(table["name"])
        given = {"count": 1} | dict(table)
        count = self.file.number(given, "count", most=MOST_LAYERS, at=where)
        shape = self.values[self.before][1]
        if self.before in self.owner:
            self.read_by.add(self.owner[self.before])
        end = first + len(self._layers_of(b))
        self.before = INPUT
        prefix = f"{name}." if count == 1 else None
        layers = self._run(first, end, {INPUT: (INPUT, shape)}, prefix)
        block = Block(name=name, layers=layers, count=count)
        if count > 1 and block.out_shape != shape:
            expected = f"block {name!r}: to be repeated, expected to give the {shape} it takes"
            raise self.file.error(expected, block.out_shape, where, "count")
        last = f"{name}.{count - 1}." if count > 1 else f"{name}."
        self.values[name] = (last + block.layers[-1].name, block.out_shape)
        self.owner[name] = end - 1
        self.before = name
        return block

    def _run(
        self, first: int, end: int, values: dict[str, tuple[str, Shape]], prefix: str | None
    ) -> tuple[Layer, ...]:
        """Read layers that see ``values`` and one another; ``prefix`` None: repeated ones."""
        found: list[Layer] = []
        for i in range(first, end):
            layer = self._layer(i, values)
            values[layer.name] = (layer.name, layer.out_shape)
            self.owner[layer.name] = i
            if prefix is not None:
                self.full[layer.name] = prefix + layer.name
            self.before = layer.name
            found.append(layer)
        return tuple(found)

    def _layer(self, i: int, values: Mapping[str, tuple[str, Shape]]) -> Layer:
        table, where, file = self.tables[i], ("layer", i), self.file
        name = str(table["name"])
        kind = table.get("kind")
        if not isinstance(kind, str):
            raise file.error(f"layer {name!r}: expected a kind", kind, where, "kind")
        file.check_known(f"kind of layer {name!r}:", kind, names("planner.layers"), where, "kind")
        known = attributes(kind)
        attrs = self._attributes(i, known)
        may = hasattr(kind_module(kind), "borrowed")
        does_borrow = may and bool(attrs.get("borrows", "borrows" not in known))
        borrows = {"tied_to": True} if does_borrow else {}
        file.check_keys(f"layer {name!r} ({kind})", table, LAYER | known | borrows, where)
        inputs = file.strings(table, "inputs", where) if "inputs" in table else [self.before]
        for given in inputs:
            file.check_known(f"input of layer {name!r}:", given, values, where, "inputs")
            if given in self.owner:
                self.read_by.add(self.owner[given])
        if len(set(inputs)) < len(inputs):
            expected = f"layer {name!r}: expected inputs that differ"
            raise file.error(expected, inputs, where, "inputs")
        shapes = tuple(values[x][1] for x in inputs)
        if problem := shape_problem(kind, shapes, attrs):
            raise ModelError(f"{file.at(where)}: layer {name!r}: {problem}")
        tied = table.get("tied_to", "")
        if borrows:
            what = f"layer that {name!r} is tied to:"
            file.check_known(what, str(tied), self.full, where, "tied_to")
        return Layer(
            name=name,
            kind=kind,
            in_shapes=shapes,
            attrs=tuple(sorted(attrs.items())),
            inputs=tuple(values[x][0] for x in inputs),
            tied=self.full[str(tied)] if borrows else "",
        )

    def _attributes(self, i: int, known: Mapping[str, bool]) -> dict[str, int]:
        found: dict[str, int] = {}
        for key in known.keys() & self.tables[i].keys():
            value = self.tables[i][key]
            if key in SWITCHES and type(value) is bool:
                value = int(value)
            if problem := attribute_problem(key, value):
                raise ModelError(f"{self.file.at(('layer', i), key)}: {problem}")
            assert isinstance(value, int)
            found[key] = value
        return found
