"""The passes of one microbatch in order: which op fires when, and on which registers.

Computed from the model alone. One order serves the program, whose firings follow it, and the memory
of a worker, which lets registers share bytes when this order keeps their lives apart.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from planner.layer_calls import LayerCalls
from planner.model import ModelGraph
from planner.opcall import OpCall, Tensor
from planner.precision import SCALING
from planner.steps import loss

PARAMETERS = ("w", "b")
"""Names of the tensors that lie in the flat arrays, their gradients with a ``d`` before."""

STATS = "loss.stats"
"""Register of what a step tells: read when it is over."""

LOADED = ("x", "labels")
"""Registers that a load fills."""

OUTSIDE = (*LOADED, STATS, "gradients", SCALING)
"""Registers that firings name and that live on outside of the passes."""


class Calls(Protocol):
    """The op calls of one microbatch (``planner.calls.StepCalls``)."""

    @property
    def layers(self) -> tuple[LayerCalls, ...]:
        """By layer."""
        ...

    @property
    def loss(self) -> OpCall:
        """The loss."""
        ...

    def add(self, elements: int) -> OpCall:
        """Return the addition of ``elements`` gradients."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One op of the passes: whose, which, and where its tensors lie."""

    name: str
    phase: str
    layer: int
    """-1 for the loss."""
    kind: str
    """``forward``, ``loss``, ``sum``, ``weight_grad``, ``accumulate`` or ``input_grad``."""
    places: Mapping[str, str]
    """By name of a tensor: its register; parameters and their gradients excepted."""
    part: int = 0
    """Which of the sums of a layer."""

    @property
    def workspace(self) -> str:
        """Register of its scratch."""
        return f"{self.name}.work"

    def call(self, calls: Calls, parameters: int) -> OpCall:
        """Return its op call, of a layer with so many ``parameters``."""
        if self.kind == "loss":
            return calls.loss
        if self.kind == "accumulate":
            return calls.add(parameters)
        return self.layer_call(calls.layers)

    def layer_call(self, layers: tuple[LayerCalls, ...]) -> OpCall:
        """Return its op call among those of the layers."""
        layer = layers[self.layer]
        if self.kind == "sum":
            return layer.sums[self.part]
        call: OpCall | None = getattr(layer, self.kind)
        assert call is not None, f"{self.name} does not fire"
        return call


def is_parameter(tensor: Tensor) -> bool:
    """Whether a tensor lies in one of the flat arrays."""
    return tensor.name.removeprefix("d") in PARAMETERS


def partial(model: ModelGraph, owner: int) -> str:
    """Return the register where a later microbatch leaves the gradient of what a layer owns.

    Layers that borrow a parameter write their share of its gradient there too, before the owner.
    """
    return f"{model.layers[owner].name}.partial"


def passes(model: ModelGraph, layers: tuple[LayerCalls, ...]) -> tuple[Firing, ...]:
    """Return the firings of one microbatch in order; the first accumulates nothing.

    ``layers`` are the calls of any number of samples: their tensors' names are what counts.
    """
    return tuple(_Order(model, layers).firings())


def last_of_input(model: ModelGraph, layers: tuple[LayerCalls, ...]) -> int:
    """Return the place of the last firing that reads what was loaded: the input, or the labels."""

    def reads(firing: Firing) -> bool:
        if firing.kind in ("loss", "accumulate"):
            return firing.kind == "loss"
        tensors = (*firing.layer_call(layers).reads, *firing.layer_call(layers).updates)
        return any(firing.places.get(tensor.name) in LOADED for tensor in tensors)

    return max(place for place, firing in enumerate(model.passes) if reads(firing))


@dataclass(frozen=True, slots=True)
class _Order:
    model: ModelGraph
    layers: tuple[LayerCalls, ...]

    def firings(self) -> Iterator[Firing]:
        for i, layer in enumerate(self.model.layers):
            yield self._of(i, layer.name, "forward", phase="forward")
        yield self._loss()
        for i in reversed(range(len(self.model.layers))):
            yield from self._backward(i)

    def _loss(self) -> Firing:
        call = loss(self.model, 1, "float32", 1)
        logits = (self.model.wiring.outputs[i] for i in self.model.heads)
        places = dict(zip((t.name for t in call.reads), logits, strict=False))
        places |= {t.name: f"loss.{t.name}" for t in call.writes} | {"labels": "labels"}
        places[SCALING] = SCALING
        return Firing(name="loss", phase="forward", layer=-1, kind="loss", places=places)

    def _of(self, i: int, name: str, kind: str, *, phase: str = "backward") -> Firing:
        return Firing(name=name, phase=phase, layer=i, kind=kind, places=self._places(i))

    def _places(self, i: int) -> dict[str, str]:
        """Return the registers of all tensors of layer ``i``."""
        layer, calls, wiring = self.model.layers[i], self.layers[i], self.model.wiring
        names = layer.input_names
        places = dict(zip(names, wiring.inputs[i], strict=True))
        places |= {"y": wiring.outputs[i], "dy": wiring.gradients[i]}
        places |= dict(zip((f"d{name}" for name in names), wiring.input_grads[i], strict=False))
        return places | {t.name: f"{layer.name}.{t.name}" for t in (*calls.kept, *calls.handed)}

    def _backward(self, i: int) -> Iterator[Firing]:
        """Yield the sum of the output's gradients, and the two gradients of layer ``i``.

        What it owns is added up at once; of what it borrows the owner adds up the whole.
        """
        name, calls = self.model.layers[i].name, self.layers[i]
        yield from self._sums(i)
        if calls.weight_grad:
            yield self._of(i, f"{name}.weight_grad", "weight_grad")
        if self.model.layers[i].parameters:
            yield Firing(
                name=f"{name}.accumulate",
                phase="backward",
                layer=i,
                kind="accumulate",
                places={"other": partial(self.model, i), "total": "gradients"},
            )
        if calls.input_grad:
            yield self._of(i, f"{name}.input_grad", "input_grad")

    def _sums(self, i: int) -> Iterator[Firing]:
        """Yield the additions of the gradients that the readers of layer ``i`` give."""
        wiring, name = self.model.wiring, f"{self.model.layers[i].name}.sum"
        total, parts = wiring.gradients[i], list(wiring.parts[i])
        if total in parts:
            parts.remove(total)
        for part, call in enumerate(self.layers[i].sums):
            if call.updates:
                places = {"total": total, "other": parts.pop(0)}
            else:
                places = {"y": total, "x0": parts.pop(0), "x1": parts.pop(0)}
            yield Firing(name=name, phase="backward", layer=i, kind="sum", places=places, part=part)
