"""Building models: layers by name and kind into blocks, blocks into a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from planner.layer import INPUT, Layer, Shape
from planner.model import Block, ModelGraph


@dataclass(frozen=True, slots=True)
class Value:
    """What a layer of the block gives: its name, for others to read, and its shape."""

    name: str
    shape: Shape


@dataclass(slots=True)
class BlockBuilder:
    """The layers of one block so far; each method appends one and returns what it gives."""

    input: Value
    layers: list[Layer] = field(default_factory=list)

    def layer(self, name: str, kind: str, *inputs: Value, **attrs: int) -> Value:
        """Append a layer of any kind; attributes that a kind has defaults for may be left out."""
        found = Layer(
            name=name,
            kind=kind,
            in_shapes=tuple(value.shape for value in inputs),
            inputs=tuple(value.name for value in inputs),
            attrs=tuple(sorted(attrs.items())),
        )
        self.layers.append(found)
        return Value(name, found.out_shape)

    def conv(self, name: str, x: Value, channels: int, kernel: int, **attrs: int) -> Value:
        """Append a convolution; attributes as in ``planner.layers.conv2d``."""
        return self.layer(name, "conv2d", x, channels=channels, kernel=kernel, **attrs)

    def conv_relu(self, name: str, x: Value, channels: int, kernel: int, **attrs: int) -> Value:
        """Append a convolution with bias and the ReLU after it."""
        x = self.conv(name, x, channels, kernel, **attrs)
        return self.layer(f"{name}_relu", "relu", x)

    def linear_relu(self, name: str, x: Value, features: int) -> Value:
        """Append a fully connected layer and the ReLU after it."""
        x = self.layer(name, "linear", x, features=features)
        return self.layer(f"{name}_relu", "relu", x)

    def norm_relu(self, name: str, x: Value) -> Value:
        """Append a batch normalisation and the ReLU after it."""
        return self.layer(f"{name}_relu", "relu", self.layer(name, "batch_norm", x))

    def conv_norm(self, name: str, x: Value, channels: int, kernel: int, **attrs: int) -> Value:
        """Append a convolution without bias and the batch normalisation after it."""
        x = self.conv(name, x, channels, kernel, bias=0, **attrs)
        return self.layer(f"{name}_norm", "batch_norm", x)

    def conv_norm_relu(
        self, name: str, x: Value, channels: int, kernel: int, **attrs: int
    ) -> Value:
        """Append a convolution without bias, batch normalisation and ReLU."""
        x = self.conv(name, x, channels, kernel, bias=0, **attrs)
        return self.norm_relu(f"{name}_norm", x)

    def attention(self, x: Value, heads: int, **attrs: int) -> Value:
        """Append self-attention of tokens: queries, keys and values, heads, and their mixture."""
        features = x.shape[1]
        y = self.layer("qkv", "linear", x, features=3 * features)
        y = self.layer("attention", "attention", y, heads=heads, **attrs)
        return self.layer("mix", "linear", y, features=features)

    def feed_forward(self, x: Value, inner: int) -> Value:
        """Append two linear layers of tokens with a GELU between them."""
        y = self.layer("gelu", "gelu", self.layer("up", "linear", x, features=inner))
        return self.layer("down", "linear", y, features=x.shape[1])

    def dropout(self, name: str, x: Value, percent: int) -> Value:
        """Append dropout, unless nothing would be dropped."""
        return self.layer(name, "dropout", x, percent=percent) if percent else x

    def tied(self, name: str, owner: str, x: Value, **attrs: int) -> Value:
        """Append logits from the table of the embedding of the full name ``owner``."""
        return self._lent(name, "unembedding", owner, x, **attrs)

    def shared(self, name: str, owner: str, x: Value, **attrs: int) -> Value:
        """Append an embedding that looks up in the table of that of the full name ``owner``."""
        return self._lent(name, "embedding", owner, x, borrows=1, **attrs)

    def _lent(self, name: str, kind: str, owner: str, x: Value, **attrs: int) -> Value:
        found = self.layer(name, kind, x, **attrs)
        self.layers[-1] = replace(self.layers[-1], tied=owner)
        return found


Body = Callable[..., Value]
"""``body(builder, input, **options)`` appends the layers of a block and returns its last value."""


@dataclass(slots=True)
class Row:
    """The blocks of a model so far; each reads what the one before gives."""

    input_shape: Shape
    blocks: list[Block] = field(default_factory=list)

    def add(self, name: str, body: Body, *, count: int = 1, **options: int) -> None:
        """Append ``count`` blocks that ``body`` describes."""
        shape = self.blocks[-1].out_shape if self.blocks else self.input_shape
        builder = BlockBuilder(Value(INPUT, shape))
        last = body(builder, builder.input, **options)
        assert last.name == builder.layers[-1].name, f"block {name!r} must end in its output"
        self.blocks.append(Block(name=name, layers=tuple(builder.layers), count=count))

    def model(
        self,
        name: str,
        source: str,
        norm_group: int = 1,
        *,
        record_shape: Shape = (),
        full_scale: int = 255,
    ) -> ModelGraph:
        """Return the model: a classifier of records as large as its input, or of smaller ones."""
        return ModelGraph(
            name=name,
            blocks=tuple(self.blocks),
            record_shape=record_shape or self.input_shape,
            full_scale=full_scale,
            classes=self.blocks[-1].out_shape[0],
            norm_group=norm_group,
            source=source,
        )


Rows = Sequence[tuple[str, str, dict[str, int]]]
"""``(name, kind, attributes)`` of each layer of a chain."""


def chain(input_shape: Shape, rows: Rows) -> tuple[Block, ...]:
    """Build one block from ``rows``; each layer reads the one before."""
    builder = BlockBuilder(Value(INPUT, input_shape))
    value = builder.input
    for name, kind, attrs in rows:
        value = builder.layer(name, kind, value, **attrs)
    return (Block(name="", layers=tuple(builder.layers)),)
