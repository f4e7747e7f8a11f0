"""The op calls of every layer for one microbatch, and what they hand on to one another."""

from dataclasses import dataclass
from math import prod

from planner.layer import Layer
from planner.model import ModelGraph
from planner.opcall import OpCall, Tensor
from planner.steps import add


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCalls:
    """The op calls of one layer for one microbatch."""

    forward: OpCall
    weight_grad: OpCall | None
    input_grad: OpCall | None
    sums: tuple[OpCall, ...]
    """Additions of the gradients that several readers give."""

    @property
    def fired(self) -> tuple[OpCall, ...]:
        """Those there are."""
        gradients = (call for call in (self.weight_grad, self.input_grad) if call)
        return (self.forward, *self.sums, *gradients)

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """What forward writes beside ``y``, for the backward pass."""
        return self.forward.writes[1:]

    @property
    def handed(self) -> tuple[Tensor, ...]:
        """What the weight gradient writes beside ``dw`` and ``db``, for the input gradient."""
        written = self.weight_grad.writes if self.weight_grad else ()
        return tuple(t for t in written if t.name not in ("dw", "db"))

    @property
    def workspace_bytes(self) -> int:
        """Largest workspace of one of its ops."""
        return max(sum(t.size_bytes for t in call.work) for call in self.fired)


def layer_calls(model: ModelGraph, samples: int, dtype: str) -> tuple[LayerCalls, ...]:
    """Return the op calls of every layer; gradients stop where nothing below is trained.

    Equal layers share their calls; the result is kept with the model.
    """
    return model.once(("layer calls", samples, dtype), lambda: _layer_calls(model, samples, dtype))


def _layer_calls(model: ModelGraph, samples: int, dtype: str) -> tuple[LayerCalls, ...]:
    made: dict[object, OpCall] = {}

    def call(layer: Layer, phase: str) -> OpCall:
        key = layer.work, phase
        if key not in made:
            made[key] = layer.call(phase, samples, dtype)
        return made[key]

    return tuple(
        LayerCalls(
            forward=call(layer, "forward"),
            weight_grad=call(layer, "weight_grad") if layer.is_trained else None,
            input_grad=call(layer, "input_grad") if needs else None,
            sums=_sums(model, i, samples, dtype),
        )
        for i, (layer, needs) in enumerate(zip(model.layers, model.needs_input_grad, strict=True))
    )


def _sums(model: ModelGraph, i: int, samples: int, dtype: str) -> tuple[OpCall, ...]:
    """Return the additions that make one gradient of the output of layer ``i``.

    Where every part is shared, the first addition writes a register of its own.
    """
    parts, shape = model.wiring.parts[i], model.layers[i].out_shape
    if len(parts) < 2:
        return ()
    more = [add(samples * prod(shape), dtype)] * (len(parts) - 1)
    if model.wiring.gradients[i] in parts:
        return tuple(more)
    pair = Layer(name="sum", kind="add", in_shapes=(shape, shape), inputs=("a", "b"))
    return (pair.call("forward", samples, dtype), *more[1:])
