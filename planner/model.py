"""Model graphs: layers with per-sample shapes, and what a training step of them needs.

A model is a row of named blocks. A block is a small graph of layers with one input and one output,
its last layer; equal blocks in a row are stored once with a count. FLOPs are counted once:
multiply-add = 2. ``forward``, ``input_grad`` and ``weight_grad`` are apart.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from itertools import compress
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

from hwprofiles.errors import ModelError
from hwprofiles.registry import lookup, names
from planner.graphcheck import check_graph
from planner.layer import INPUT, MODEL_INPUT, NORM_GROUP, Layer, Shape
from planner.opcall import DTYPE_BYTES

if TYPE_CHECKING:
    from planner.layer_calls import LayerCalls
    from planner.passes import Firing
    from planner.wiring import Wiring


T = TypeVar("T")

LISTING = "foreplan models list"
"""Command that names the models."""
MOST_PIXELS = 4096
"""Largest side of an image that a network may be resized to."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Layers with one input and one output, their last; ``count`` of them in a row."""

    name: str
    """Put before the names of its layers; empty for layers that stand by themselves."""
    layers: tuple[Layer, ...]
    """In topological order; ``input`` is what the block takes."""
    count: int = 1

    @property
    def out_shape(self) -> Shape:
        """Per-sample shape of the output."""
        return self.layers[-1].out_shape

    def unrolled(self, before: str) -> Iterator[Layer]:
        """Yield every layer under its full name; ``before`` is the layer that the block reads."""
        for copy in range(self.count):
            prefix = f"{self.name}.{copy}." if self.count > 1 else f"{self.name}." * bool(self.name)
            full = {layer.name: f"{prefix}{layer.name}" for layer in self.layers} | {INPUT: before}
            for layer in self.layers:
                inputs = tuple(full.get(name, name) for name in layer.inputs)
                yield replace(layer, name=full[layer.name], inputs=inputs)
            before = full[self.layers[-1].name]


@dataclass(frozen=True, kw_only=True)
class ModelGraph:
    """A row of blocks that ends in logits, and the records it trains on."""

    name: str
    blocks: tuple[Block, ...]
    record_shape: Shape
    """Shape of one sample on disk; a record is its labels and then the sample."""
    classes: int
    """Logits of the last layer: of a sample, or of every token of one."""
    other_heads: tuple[str, ...] = ()
    """Layers beside the last that end in logits, with a loss of their own."""
    next_token: bool = False
    """Whether the label of a token is the next one, so that a record is tokens and one more."""
    norm_group: int = 1
    """Samples that share batch statistics; a microbatch must be a multiple. 1: no such op."""
    full_scale: int = 255
    """Byte of a sample on disk that stands for 1."""
    source: str = ""

    def __post_init__(self) -> None:
        check_graph(self)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer, repeated blocks unrolled, in topological order."""
        found: list[Layer] = []
        for block in self.blocks:
            found += block.unrolled(found[-1].name if found else INPUT)
        return tuple(found)

    @cached_property
    def producers(self) -> tuple[tuple[int, ...], ...]:
        """By layer: the layers that it reads; -1 is the model's input."""
        at = dict.fromkeys((INPUT, MODEL_INPUT), -1)
        at |= {layer.name: i for i, layer in enumerate(self.layers)}
        return tuple(tuple(at[name] for name in layer.inputs) for layer in self.layers)

    @cached_property
    def above(self) -> tuple[int, ...]:
        """By layer: bit ``c`` is set when layer ``c`` reads from it, directly or through others."""
        masks = [0] * len(self.layers)
        for i in reversed(range(len(masks))):
            for producer in self.producers[i]:
                if producer >= 0:
                    masks[producer] |= masks[i] | 1 << i
        return tuple(masks)

    @cached_property
    def trained(self) -> tuple[bool, ...]:
        """By layer: whether it or a layer below it has parameters.

        No gradient need go to the output of a layer where this is false.
        """
        found: list[bool] = []
        for layer, producers in zip(self.layers, self.producers, strict=True):
            below = any(found[p] for p in producers if p >= 0)
            found.append(layer.is_trained or below)
        return tuple(found)

    @cached_property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """By layer: whether the gradient of an input must be computed."""
        return tuple(
            not layer.passes_gradient and any(self.trained[p] for p in producers if p >= 0)
            for layer, producers in zip(self.layers, self.producers, strict=True)
        )

    @cached_property
    def wiring(self) -> "Wiring":
        """Which register holds what."""
        from planner.wiring import wire

        return wire(self)

    @cached_property
    def passes(self) -> "tuple[Firing, ...]":
        """Ops of one microbatch in the order in which they fire."""
        from planner.passes import passes

        return passes(self, self._named_calls)

    @cached_property
    def gradient_places(self) -> Mapping[int, int]:
        """By layer that has parameters: the place in ``passes`` where its gradient is whole."""
        return {f.layer: i for i, f in enumerate(self.passes) if f.kind == "accumulate"}

    @cached_property
    def input_place(self) -> int:
        """Place in ``passes`` of the last firing that reads what was loaded."""
        from planner.passes import last_of_input

        return last_of_input(self, self._named_calls)

    @property
    def _named_calls(self) -> "tuple[LayerCalls, ...]":
        """Op calls whose names alone count: of the most usual microbatch, whose sizes do later."""
        from planner.layer_calls import layer_calls

        return layer_calls(self, NORM_GROUP, "float32")

    @cached_property
    def _known(self) -> dict[object, Any]:
        return {}

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Return what ``make`` returns; it is asked once for each ``key``."""
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found

    @cached_property
    def lenders(self) -> Mapping[int, int]:
        """By layer that borrows parameters: the layer that owns them."""
        at = {layer.name: i for i, layer in enumerate(self.layers)}
        return {i: at[x.tied] for i, x in enumerate(self.layers) if x.borrowed}

    def owner(self, i: int, parameter: str) -> int:
        """Return the layer that owns ``parameter`` of layer ``i``: itself, or its lender."""
        return self.lenders[i] if parameter in self.layers[i].borrowed else i

    @cached_property
    def heads(self) -> tuple[int, ...]:
        """Layers that give logits, the last layer last."""
        at = {layer.name: i for i, layer in enumerate(self.layers)}
        return (*(at[name] for name in self.other_heads), len(self.layers) - 1)

    @property
    def logit_shapes(self) -> tuple[Shape, ...]:
        """Per-sample shape of the logits of each head: (classes,) or (tokens, classes)."""
        return tuple(self.layers[i].out_shape for i in self.heads)

    @property
    def labels(self) -> int:
        """Labels of one sample, of all heads."""
        return sum(prod(shape[:-1]) for shape in self.logit_shapes)

    @cached_property
    def numbers_below(self) -> int:
        """What the numbers that it takes are below, if they are tokens or positions; else 0."""
        return max(
            layer.indices.get(name, 0)
            for layer, producers in zip(self.layers, self.producers, strict=True)
            for name, producer in zip(layer.input_names, producers, strict=True)
            if producer < 0
        )

    @property
    def reads_tokens(self) -> bool:
        """Whether what it takes are numbers of tokens."""
        return self.numbers_below > 0

    @property
    def record_dtype(self) -> str:
        """Of a sample on disk: bytes, or of a text the smallest with room for what it numbers."""
        most = max(self.numbers_below, self.classes) if self.reads_tokens else 0
        return "uint8" if most <= 1 << 8 else "uint16" if most <= 1 << 16 else "uint32"

    @property
    def input_shape(self) -> Shape:
        """Per-sample shape of what the model takes."""
        return self.layers[0].in_shape

    @cached_property
    def parameter_count(self) -> int:
        """Number of trained parameters."""
        return sum(layer.parameter_count for layer in self.layers)

    @cached_property
    def moment_count(self) -> int:
        """Number of running moments, which a trained model is shipped with."""
        return sum(layer.moment_count for layer in self.layers)

    @property
    def record_labels(self) -> int:
        """Labels that stand before a sample on disk; that of a last token is one token more."""
        return self.labels if self.reads_tokens and not self.next_token else 1

    @property
    def record_bytes(self) -> int:
        """Bytes of one record on disk: its labels and a sample."""
        if self.reads_tokens:
            return DTYPE_BYTES[self.record_dtype] * (self.record_labels + prod(self.record_shape))
        return label_bytes(self.classes) + prod(self.record_shape)

    @property
    def data_command(self) -> str:
        """Command that writes records for it.

        The digits, text where it reads bytes, or random ones where it takes others.
        """
        if self.reads_tokens:
            is_bytes = self.next_token and self.record_dtype == "uint8"
            text = f"text --seq {self.record_shape[0]}"
            return f"foreplan data {text if is_bytes else f'synthetic --model {self.name}'}"
        if (self.record_shape, self.full_scale) == ((8, 8), 16):
            return "foreplan data digits"
        shape = "x".join(map(str, self.record_shape))
        return f"foreplan data synthetic --shape {shape} --classes {self.classes}"

    def flop(self, phase: str, samples: int = 1) -> int:
        """FLOP of one phase (``forward``, ``input_grad``, ``weight_grad``) over ``samples``.

        Sums of gradients count as input gradients.
        """
        fires = {
            "forward": [True] * len(self.layers),
            "weight_grad": [layer.is_trained for layer in self.layers],
            "input_grad": self.needs_input_grad,
        }[phase]
        total, of_alike = 0, dict[object, int]()
        for layer in compress(self.layers, fires):
            alike = (layer.kind, layer.in_shapes, layer.attrs)
            if alike not in of_alike:
                of_alike[alike] = layer.call(phase, samples, "float32").flop
            total += of_alike[alike]
        if phase == "input_grad":
            for layer, parts in zip(self.layers, self.wiring.parts, strict=True):
                total += max(0, len(parts) - 1) * samples * prod(layer.out_shape)
        return total

    def sha256(self) -> str:
        """Hash of everything that a prediction depends on."""
        parts: list[object] = [self.record_shape, self.full_scale, self.classes, self.norm_group]
        if self.reads_tokens:
            parts += [self.other_heads, self.next_token]
        tied = {x.name: (x.tied,) for x in self.layers if x.tied}
        rows = [
            (x.name, x.kind, x.in_shapes, x.attrs, x.inputs, *tied.get(x.name, ()))
            for x in self.layers
        ]
        return hashlib.sha256(repr((parts, rows)).encode()).hexdigest()


def label_bytes(classes: int) -> int:
    """Bytes of the label in a record: one where that is enough, else two."""
    return 1 if classes <= 256 else 2


def model_names() -> dict[str, str]:
    """Return the built-in models, and the file of ``planner/models`` that builds each."""
    stems = names("planner.models")
    return dict(sorted((n, s) for s in stems for n in import_module(f"planner.models.{s}").NAMES))


def load_model(name: str) -> ModelGraph:
    """Return the built-in model called ``name``, or the one that a file of this path describes.

    A model of text may be followed by the tokens of a sample, ``bert-large:512``, and one of images
    by their side, ``resnet-50:256``.

    Raises
    ------
    ModelError
        When there is no such model (the message has the nearest), or the file is wrong.
    """
    if _is_file(name):
        from planner.modelfile import load_file

        return load_file(name)
    known = model_names()
    family, colon, size = name.partition(":")
    stem = known[lookup("model", family, list(known), error=ModelError, listing=LISTING)]
    module = import_module(f"planner.models.{stem}")
    model: ModelGraph
    if not colon:
        model = module.build(name)
        return model
    most = module.most_tokens(family) if hasattr(module, "most_tokens") else 0
    kind, limit = ("tokens", most) if most else ("pixels a side", MOST_PIXELS)
    if not size.isdecimal() or not 1 <= int(size) <= limit:
        raise ModelError(
            f"model {name!r}: expected 1 to {limit} {kind} after the colon, got {size!r}"
        )
    if most:
        model = module.build(family, int(size))
    else:
        from planner.resize import resized

        model = resized(module.build(family), int(size))
    return replace(model, name=name)


def with_tokens(name: str, tokens: int | None) -> str:
    """Return the name of a model at another number of tokens a sample, as ``--seq`` asks for.

    Raises
    ------
    ModelError
        When the model is a file, which says it itself, or reads no tokens.
    """
    if tokens is None:
        return name
    if _is_file(name):
        raise ModelError(f"--seq {tokens}: {name} says itself what it reads; leave out --seq")
    family = name.partition(":")[0]
    if not load_model(family).reads_tokens:
        raise ModelError(
            f"--seq {tokens}: expected a model that reads tokens, got {family!r}; leave out --seq"
        )
    return f"{family}:{tokens}"


def _is_file(name: str) -> bool:
    return "/" in name or name.endswith((".toml", ".onnx"))
