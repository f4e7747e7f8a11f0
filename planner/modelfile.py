"""Models from files: TOML of layers; ``docs/model-files.md`` says what may stand in one."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import lcm
from pathlib import Path

from hwprofiles.errors import ModelError
from hwprofiles.registry import lookup, names
from planner.layer import INPUT, NORM_GROUP, Layer, Shape, kind_module
from planner.layercheck import (
    MOST_LAYERS,
    MOST_SIDE,
    SWITCHES,
    attribute_problem,
    attributes,
    shape_problem,
)
from planner.model import Block, ModelGraph

MOST_BYTES = 4 * 1024 * 1024
"""Of a file of layers."""
TOP = {"name": True, "input": True, "classes": True, "layer": True} | dict.fromkeys(
    ("source", "record", "full_scale", "next_token", "block"), False
)
BLOCK = {"name": True, "layers": True, "count": False}
LAYER = {"name": True, "kind": True, "inputs": False}
"""Keys; true: it must be given."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Table = Mapping[str, object]


def load_file(name: str) -> ModelGraph:
    """Return the model of a file; it is called by its path as given, so that plans find it again.

    Raises
    ------
    ModelError
        When the file cannot be read or describes no model that can be planned.
    """
    path = Path(name)
    if path.suffix == ".onnx":
        from planner.onnxfile import read_onnx

        return replace(read_onnx(path), name=name)
    if path.suffix == ".toml":
        return replace(read_model_file(path), name=name)
    raise ModelError(f"{name}: expected a model file that ends in .toml or .onnx, got {path.name}")


def read_model_file(path: Path) -> ModelGraph:
    """Read a TOML file of layers.

    Raises
    ------
    ModelError
        Naming file and line, what was expected and what is there.
    """
    file = _File(path, _text(path))
    data = file.data()
    file.check_keys("model", data, TOP)
    name = file.name_of("model", data)
    input_shape = file.shape(data, "input")
    classes = file.number(data, "classes", most=MOST_SIDE)
    source = data.get("source", path.name)
    if not isinstance(source, str) or not source.isprintable():
        raise file.error("source: expected a line of text", source, key="source")
    layers, blocks = file.tables(data, "layer"), file.tables(data, "block")
    if not layers:
        raise file.error("layer: expected [[layer]] tables", "none", key="layer")
    row = _Row(file, layers, blocks, input_shape).read()
    if row[-1].out_shape[-1:] != (classes,) or len(row[-1].out_shape) > 2:
        raise file.error(
            f"layer {layers[-1]['name']!r}: the last must give ({classes},) logits",
            row[-1].out_shape,
            ("layer", len(layers) - 1),
        )
    try:
        return ModelGraph(
            name=name,
            blocks=tuple(row),
            record_shape=file.shape(data, "record") if "record" in data else input_shape,
            full_scale=file.number(data, "full_scale", most=255) if "full_scale" in data else 255,
            classes=classes,
            next_token=file.switch(data, "next_token"),
            norm_group=norm_group(x for block in row for x in block.layers),
            source=source,
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def norm_group(layers: Iterable[Layer]) -> int:
    """Return the samples that a microbatch must be a multiple of."""
    groups = (dict(x.attrs).get("group", NORM_GROUP) for x in layers if x.kind == "batch_norm")
    return lcm(*groups)


def _text(path: Path) -> str:
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
class _File:
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


@dataclass(slots=True)
class _Row:
    """The layers of a file, put into a row of blocks."""

    file: _File
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
