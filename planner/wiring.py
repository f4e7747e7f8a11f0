"""Which register holds what a layer gives and the gradient of it: computed from the model alone.

- A ReLU, a dropout, a gate writes over its input where nobody needs the old value any more.
- An addition passes its gradient on: the gradient of each input *is* the gradient of the output, so
  no task runs and nothing is copied; such a register is shared and must not be written over.
- Where several layers read one output, the gradients that they give are added, in a fixed order,
  into a register that is not shared.
- Gradients stop where nothing below is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.layer import Layer
from planner.model import ModelGraph


def loss_gradient(model: ModelGraph, head: int) -> str:
    """Return the register that the loss writes the gradient of a head's logits to."""
    return f"loss.dx{head}" if len(model.heads) > 1 else "loss.dx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Names of registers, by layer."""

    inputs: tuple[tuple[str, ...], ...]
    """Where each layer finds its inputs."""
    outputs: tuple[str, ...]
    """Where each layer writes ``y``; its first input's register when it writes in place."""
    input_grads: tuple[tuple[str, ...], ...]
    """Where each layer writes the gradients of its inputs; empty where none is computed."""
    parts: tuple[tuple[str, ...], ...]
    """Gradients of each layer's output, one for each reader; empty where none is needed."""
    gradients: tuple[str, ...]
    """Where the sum of ``parts`` ends up, one of them unless all are shared; or empty."""


def wire(model: ModelGraph) -> Wiring:
    """Return the wiring of ``model``."""
    outputs = _outputs(model)
    input_grads, parts, gradients = _gradients(model)
    return Wiring(
        inputs=tuple(
            tuple("x" if p < 0 else outputs[p] for p in producers) for producers in model.producers
        ),
        outputs=tuple(outputs),
        input_grads=input_grads,
        parts=parts,
        gradients=gradients,
    )


def _backward_reads(layers: Sequence[Layer]) -> list[set[str]]:
    """Return, by layer, the names of the tensors that its gradients are computed from."""
    known: dict[object, set[str]] = {}
    for layer in layers:
        if layer.work not in known:
            phases = [p for p in ("weight_grad", "input_grad") if hasattr(layer.module, p)]
            calls = [layer.call(phase, 1, "float32") for phase in phases]
            known[layer.work] = {tensor.name for call in calls for tensor in call.reads}
    return [known[layer.work] for layer in layers]


def _outputs(model: ModelGraph) -> list[str]:
    readers: list[list[int]] = [[] for _ in model.layers]
    for i, producers in enumerate(model.producers):
        for p in producers:
            if p >= 0:
                readers[p].append(i)
    needs = _backward_reads(model.layers)

    def is_needed_later(p: int, i: int) -> bool:
        """Whether the output of ``p`` is needed after layer ``i``, or again by ``i``, has read it.

        Layers are checked as if all had a backward pass.
        """
        if "y" in needs[p] or readers[p][-1] != i or readers[p].count(i) > 1:
            return True
        return any(
            name in needs[r]
            for r in readers[p]
            for name, producer in zip(model.layers[r].input_names, model.producers[r], strict=True)
            if producer == p
        )

    found: list[str] = []
    for i, layer in enumerate(model.layers):
        p = model.producers[i][0]
        over = layer.writes_in_place and p >= 0 and not is_needed_later(p, i)
        found.append(found[p] if over else f"{layer.name}.y")
    return found


def _gradients(
    model: ModelGraph,
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Return ``input_grads``, ``parts`` and ``gradients``, going down from the loss."""
    layers = model.layers
    input_grads: list[tuple[str, ...]] = [()] * len(layers)
    gradients = [""] * len(layers)
    parts: list[list[str]] = [[] for _ in layers]
    shared: set[str] = set()
    for head, i in enumerate(model.heads):
        parts[i].append(loss_gradient(model, head))
    for i in reversed(range(len(layers))):
        if not model.trained[i]:
            continue
        layer = layers[i]
        own = [part for part in parts[i] if part not in shared]
        if len(parts[i]) == 1:
            gradients[i] = parts[i][0]
        else:
            gradients[i] = own[0] if own else f"{layer.name}.dy"
        if layer.passes_gradient:
            handed = tuple(gradients[i] for _ in layer.inputs)
            shared.add(gradients[i])
        elif model.needs_input_grad[i]:
            first = f"{layer.name}.d{layer.input_names[0]}"
            if layer.writes_in_place and gradients[i] not in shared:
                first = gradients[i]
            handed = (first, *(f"{layer.name}.d{name}" for name in layer.input_names[1:]))
            input_grads[i] = handed
        else:
            handed = ()
        for p, register in zip(model.producers[i], handed, strict=bool(handed)):
            if p >= 0 and model.trained[p]:
                parts[p].append(register)
    return tuple(input_grads), tuple(map(tuple, parts)), tuple(gradients)
