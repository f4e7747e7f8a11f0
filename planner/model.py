"""Model graphs: layers with per-sample shapes, and what a training step of them needs.

FLOPs are counted once: multiply-add = 2. ``forward``, ``input_grad`` and ``weight_grad`` are apart.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from math import prod
from types import ModuleType

from hwprofiles.errors import ModelError
from hwprofiles.registry import lookup, names
from planner.opcall import OpCall, Tensor

Shape = tuple[int, ...]


def batched(shape: Shape, samples: int) -> Shape:
    """Shape of ``samples`` of a per-sample shape: ``(C, H, W, n)`` for maps, else ``(n, F)``."""
    return (*shape, samples) if len(shape) == 3 else (samples, *shape)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a model; the kind's module in ``planner.layers`` knows its work."""

    name: str
    kind: str
    in_shape: Shape
    attrs: tuple[tuple[str, int], ...] = ()

    @cached_property
    def module(self) -> ModuleType:
        """Return the module of the layer's kind."""
        lookup("layer kind", self.kind, names("planner.layers"))
        return import_module(f"planner.layers.{self.kind}")

    @property
    def out_shape(self) -> Shape:
        """Per-sample shape of the output."""
        shape: Shape = self.module.out_shape(self.in_shape, **dict(self.attrs))
        return shape

    @property
    def parameters(self) -> Mapping[str, Shape]:
        """Shapes of the parameters by name (``w``, ``b``), in the order they lie in memory."""
        shapes: Mapping[str, Shape] = self.module.parameters(self.in_shape, **dict(self.attrs))
        return shapes

    @property
    def parameter_count(self) -> int:
        """Number of parameters of this layer."""
        return sum(prod(shape) for shape in self.parameters.values())

    def tensor(self, name: str, samples: int, dtype: str) -> Tensor:
        """Return the tensor called ``name`` (``x``, ``y``, ``w``, ``dw``, ...) of this layer."""
        base = name.removeprefix("d")
        if base in ("x", "y"):
            shape = batched(self.in_shape if base == "x" else self.out_shape, samples)
        else:
            shape = self.parameters[base]
        return Tensor(name=name, shape=shape, dtype=dtype)

    def call(self, phase: str, samples: int, dtype: str) -> OpCall:
        """Return the op call of ``phase``: ``forward``, ``weight_grad`` or ``input_grad``."""
        call: OpCall = getattr(self.module, phase)(self, samples, dtype)
        return call


@dataclass(frozen=True, kw_only=True)
class ModelGraph:
    """A chain of layers that ends in logits, and the records it trains on."""

    name: str
    layers: tuple[Layer, ...]
    record_shape: Shape
    """Shape of one sample on disk, uint8; a record is one label byte and then the sample."""
    classes: int
    norm_group: int = 1
    """Samples that share batch statistics; a microbatch must be a multiple. 1: no such op."""
    source: str = ""

    def __post_init__(self) -> None:
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            if before.out_shape != after.in_shape:
                raise ModelError(
                    f"model {self.name!r}: layer {after.name!r} takes {after.in_shape} but"
                    f" {before.name!r} gives {before.out_shape}"
                )
        if self.layers[-1].out_shape != (self.classes,):
            raise ModelError(
                f"model {self.name!r}: the last layer must give ({self.classes},) logits, got"
                f" {self.layers[-1].out_shape}"
            )

    @property
    def input_shape(self) -> Shape:
        """Per-sample shape of what the first layer takes."""
        return self.layers[0].in_shape

    @property
    def first_trained(self) -> int:
        """First layer with parameters: no gradient need go below its output."""
        return next((i for i, layer in enumerate(self.layers) if layer.parameters), 0)

    @property
    def parameter_count(self) -> int:
        """Number of trained parameters."""
        return sum(layer.parameter_count for layer in self.layers)

    @property
    def record_bytes(self) -> int:
        """Bytes of one record on disk: a label and a sample."""
        return 1 + prod(self.record_shape)

    def flop(self, phase: str, samples: int = 1) -> int:
        """FLOP of one phase (``forward``, ``input_grad``, ``weight_grad``) over ``samples``."""
        total, first = 0, self.first_trained
        for i, layer in enumerate(self.layers):
            skipped = (phase == "weight_grad" and not layer.parameters) or (
                phase == "input_grad" and i <= first
            )
            total += 0 if skipped else layer.call(phase, samples, "float32").flop
        return total

    def sha256(self) -> str:
        """Hash of everything that a prediction depends on."""
        parts = [self.record_shape, self.classes, self.norm_group]
        rows = [(x.name, x.kind, x.in_shape, x.attrs) for x in self.layers]
        return hashlib.sha256(repr((parts, rows)).encode()).hexdigest()


def chain(input_shape: Shape, rows: list[tuple[str, str, dict[str, int]]]) -> tuple[Layer, ...]:
    """Build layers from ``(name, kind, attributes)`` rows; each takes what the one before gives."""
    layers: list[Layer] = []
    shape = input_shape
    for name, kind, attrs in rows:
        layer = Layer(name=name, kind=kind, in_shape=shape, attrs=tuple(sorted(attrs.items())))
        layers.append(layer)
        shape = layer.out_shape
    return tuple(layers)


def load_model(name: str) -> ModelGraph:
    """Return the built-in model called ``name``: a file of ``planner/models``, ``-`` for ``_``.

    Raises
    ------
    ModelError
        When there is no such model; the message lists those there are.
    """
    stem = lookup("model", name.replace("-", "_"), names("planner.models"), error=ModelError)
    model: ModelGraph = import_module(f"planner.models.{stem}").build()
    return model
