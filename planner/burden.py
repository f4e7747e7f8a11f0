"""What a model weighs: parameters, features, multiply-adds and FLOP of some samples.

Features and multiply-adds follow the conventions of convnet-burden, whose table most papers quote,
so that they can be held against it (Albanie, github.com/albanie/convnet-burden, ``core/burden.m``):
every output is kept in float32 but for what is written in place (ReLU, dropout, gate), the input
not counted; a fused multiply-add is one operation. FLOP are those of our own op calls, where a
multiply-add is two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from planner.layer import Layer
from planner.layer_calls import layer_calls
from planner.model import ModelGraph
from planner.opcall import OpCall

FLOAT_BYTES = 4
MATMULS = ("conv2d.", "linear.", "attention.", "lstm.", "unembedding.")
"""Kernels whose FLOP are multiply-adds."""


def _matmul(layer: Layer) -> int:
    biases = prod(layer.out_shape) if "b" in layer.parameters else 0
    return layer.call("forward", 1, "float32").flop // 2 + biases


def _of_gates(layer: Layer) -> int:
    return layer.call("forward", 1, "float32").flop // 2 + 4 * prod(layer.out_shape)


def _pool(layer: Layer) -> int:
    attrs = dict(layer.attrs)
    return 2 * prod(layer.out_shape) * (attrs.get("stride") or attrs["window"]) ** 2


def _across_channels(layer: Layer) -> int:
    channels, *places = layer.out_shape
    return prod(layer.out_shape) + (2 + 2 * channels) * prod(places)


def _once(layer: Layer) -> int:
    return prod(layer.out_shape)


def _twice(layer: Layer) -> int:
    return 2 * prod(layer.out_shape)


MULTIPLY_ADDS: dict[str, Callable[[Layer], int]] = {
    "conv2d": _matmul,
    "linear": _matmul,
    "attention": _matmul,
    "unembedding": _matmul,
    "lstm": _of_gates,
    "relu": _twice,
    "tanh": _twice,
    "sigmoid": _twice,
    "silu": _twice,
    "max_pool": _pool,
    "avg_pool": _pool,
    "lrn": _across_channels,
    "add": _once,
    "gate": _once,
}
"""By kind, of one sample; the others count nothing: a normalisation is merged, copies are free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """Burden of ``samples`` samples."""

    samples: int
    parameters: int
    """Trained ones and running moments."""
    moments: int
    """Running moments of batch normalisation, which are stored and not trained."""
    feature_bytes: int
    multiply_adds: int
    """Of a forward pass."""
    forward_flop: int
    input_grad_flop: int
    """With the sums of gradients."""
    weight_grad_flop: int
    forward_matmul_flop: int
    """The part of the forward FLOP that is multiply-adds of convolutions and matrix products."""
    backward_matmul_flop: int

    @property
    def parameter_bytes(self) -> int:
        """Bytes of parameters and moments in float32."""
        return FLOAT_BYTES * self.parameters

    @property
    def backward_flop(self) -> int:
        """FLOP of a backward pass."""
        return self.input_grad_flop + self.weight_grad_flop


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """The FLOP of a whole training, counted in one of the ways that papers do."""

    multiply_add: int
    """Operations that a multiply-add counts as, 1 or 2."""
    backward: bool
    """Whether the backward pass is counted."""
    flop: float


def countings(one: Burden, samples: float, epochs: float) -> tuple[Counting, ...]:
    """Return the FLOP of ``epochs`` passes over ``samples``, counted in four ways.

    The last is what a training executes: multiply-add 2, forward and backward.
    """
    found = []
    for backward in (False, True):
        flop = one.forward_flop + backward * one.backward_flop
        matmul = one.forward_matmul_flop + backward * one.backward_matmul_flop
        for multiply_add, counted in ((1, flop - matmul // 2), (2, flop)):
            total = counted / one.samples * samples * epochs
            found.append(Counting(multiply_add=multiply_add, backward=backward, flop=total))
    return tuple(found)


def multiply_adds(layer: Layer) -> int:
    """Multiply-adds of one sample in a forward pass of ``layer``."""
    return MULTIPLY_ADDS[layer.kind](layer) if layer.kind in MULTIPLY_ADDS else 0


def burden(model: ModelGraph, samples: int = 1) -> Burden:
    """Return the burden of ``samples`` samples."""
    features = sum(prod(x.out_shape) for x in model.layers if not x.writes_in_place)
    calls = layer_calls(model, samples, "float32")
    forward = [x.forward for x in calls]
    weight_grad = [x.weight_grad for x in calls if x.weight_grad]
    input_grad = [x.input_grad for x in calls if x.input_grad]
    sums = [call for x in calls for call in x.sums]
    return Burden(
        samples=samples,
        parameters=model.parameter_count + model.moment_count,
        moments=model.moment_count,
        feature_bytes=FLOAT_BYTES * samples * features,
        multiply_adds=samples * sum(map(multiply_adds, model.layers)),
        forward_flop=_flop(forward),
        input_grad_flop=_flop([*input_grad, *sums]),
        weight_grad_flop=_flop(weight_grad),
        forward_matmul_flop=_flop(forward, MATMULS),
        backward_matmul_flop=_flop([*input_grad, *weight_grad], MATMULS),
    )


def _flop(calls: Sequence[OpCall], kernels: tuple[str, ...] = ("",)) -> int:
    return sum(call.flop for call in calls if call.kernel.startswith(kernels))
