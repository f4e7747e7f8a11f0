"""Model graphs: layers with per-sample shapes, and what a training step of them needs.

A model is a row of named blocks. A block is a small graph of layers with one input and one output,
its last layer; equal blocks in a row are stored once with a count. FLOPs are counted once:
multiply-add = 2. ``forward``, ``input_grad`` and ``weight_grad`` are apart.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from itertools import compress
from math import prod
from typing import TYPE_CHECKING

from hwprofiles.errors import ModelError
from hwprofiles.registry import lookup, names
from planner.layer import INPUT, Layer, Shape

if TYPE_CHECKING:
    from planner.passes import Firing
    from planner.wiring import Wiring


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
    """Shape of one sample on disk, uint8; a record is the label and then the sample."""
    classes: int
    norm_group: int = 1
    """Samples that share batch statistics; a microbatch must be a multiple. 1: no such op."""
    full_scale: int = 255
    """Byte of a sample on disk that stands for 1."""
    source: str = ""

    def __post_init__(self) -> None:
        shapes, unread = {INPUT: self.input_shape}, {INPUT}
        for layer in self.layers:
            for name, shape in zip(layer.inputs, layer.in_shapes, strict=True):
                if shapes.get(name) != shape:
                    given = f"gives {shapes[name]}" if name in shapes else "does not come before"
                    raise ModelError(
                        f"model {self.name!r}: layer {layer.name!r} takes {shape} but {name!r}"
                        f" {given}"
                    )
            if layer.name in shapes:
                raise ModelError(f"model {self.name!r}: two layers are called {layer.name!r}")
            shapes[layer.name] = layer.out_shape
            unread = unread.difference(layer.inputs) | {layer.name}
        record, whole = self.record_shape, self.input_shape
        sides = (1,) * (len(whole) - len(record)) + record
        repeats = len(whole) == 3 and not any(a % b for a, b in zip(whole, sides, strict=True))
        if not repeats and prod(record) != prod(whole):
            raise ModelError(
                f"model {self.name!r}: records of {record} do not divide its input of {whole}"
            )
        last = self.layers[-1]
        if last.out_shape != (self.classes,):
            raise ModelError(
                f"model {self.name!r}: the last layer must give ({self.classes},) logits, got"
                f" {last.out_shape}"
            )
        if unread != {last.name}:
            unread_names = ", ".join(sorted(unread - {last.name}))
            raise ModelError(f"model {self.name!r}: nothing reads the output of {unread_names}")

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
        at = {INPUT: -1} | {layer.name: i for i, layer in enumerate(self.layers)}
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
            found.append(bool(layer.parameters) or below)
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
        from planner.layer_calls import layer_calls
        from planner.passes import passes

        return passes(self, layer_calls(self, 1, "float32"))

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
    def record_bytes(self) -> int:
        """Bytes of one record on disk: a label and a sample."""
        return label_bytes(self.classes) + prod(self.record_shape)

    @property
    def data_command(self) -> str:
        """Command that writes records for it: the digits, or random ones where it takes others."""
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
            "weight_grad": [bool(layer.parameters) for layer in self.layers],
            "input_grad": self.needs_input_grad,
        }[phase]
        total = sum(
            layer.call(phase, samples, "float32").flop for layer in compress(self.layers, fires)
        )
        if phase == "input_grad":
            for layer, parts in zip(self.layers, self.wiring.parts, strict=True):
                total += max(0, len(parts) - 1) * samples * prod(layer.out_shape)
        return total

    def sha256(self) -> str:
        """Hash of everything that a prediction depends on."""
        parts = [self.record_shape, self.full_scale, self.classes, self.norm_group]
        rows = [(x.name, x.kind, x.in_shapes, x.attrs, x.inputs) for x in self.layers]
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

    Raises
    ------
    ModelError
        When there is no such model (the message lists those there are), or the file is wrong.
    """
    if "/" in name or name.endswith((".toml", ".onnx")):
        from planner.modelfile import load_file

        return load_file(name)
    known = model_names()
    stem = known[lookup("model", name, list(known), error=ModelError)]
    model: ModelGraph = import_module(f"planner.models.{stem}").build(name)
    return model
