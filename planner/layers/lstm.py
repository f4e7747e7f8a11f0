"""Long short-term memory over the tokens of a sample, from the first on or, ``reverse``, the last.

Source: Hochreiter and Schmidhuber, Neural Computation 9(8), 1997; the forget gate is that of Gers,
Schmidhuber and Cummins, Neural Computation 12(10), 2000; no peepholes. With H features::

    i, f, o = logistic(...), g = tanh(...)    four parts of x[t] w[:F] + y[t-1] w[F:] + b
    c[t] = f c[t-1] + i g,  y[t] = o tanh(c[t])

Gates lie in the order i, f, o, g; before the first token ``c`` and ``y`` are 0. There is one bias
a gate, where cuDNN and PyTorch add two whose sum is all that counts: 4 H parameters fewer. Both
directions are two layers and a ``concat``. Kept for the backward pass are the four gates and the
cell of every token.

What tokens give to their own gates is one product of matrices. What goes from token to token is a
small product each, with a row a sample, that waits for the one before: the call's ``chain``
(Appleyard, Kocisky and Blunsom, arXiv:1604.01946, 2016, section 3). FLOP are those of the matrix
products. ``weight_grad`` goes back through the tokens and hands on ``dgates``, from which
``input_grad`` is one product again.

ASSUMES: one kernel a token does product and gates, as cuDNN's fused steps do; recurrent weights
larger than a cache are read again for every token.
"""

from dataclasses import replace

from hwprofiles.tiles import Chain, product
from hwprofiles.units import MIB
from planner.layer import Layer, Shape
from planner.opcall import DTYPE_BYTES, OpCall

GATES = 4
ROOMS = 3
"""Arrays of the size of a token's outputs that the kernels work in, beside one of its gates."""
CACHED_BYTES = 4 * MIB
"""Weights that stay in a cache from token to token; the second level of a V100 holds 6 MiB."""


def out_shape(in_shape: Shape, *, features: int, reverse: int = 0) -> Shape:
    """Return ``(S, features)`` for tokens ``(S, F)``."""
    return (in_shape[0], features)


def parameters(in_shape: Shape, *, features: int, reverse: int = 0) -> dict[str, Shape]:
    """Weights of a token's input, then those of the output before it; biases of all gates."""
    return {"w": (in_shape[1] + features, GATES * features), "b": (GATES * features,)}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """All gates' inputs in one product, then token by token."""
    return _call(layer, samples, dtype, "forward", "x w b -> y gates cells ~ work", 1)


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dgates`` token by token, then ``dw`` in two products and ``db`` = sums of ``dgates``."""
    arguments = "x y dy w gates cells -> dw db dgates ~ work"
    return _call(layer, samples, dtype, "weight_grad", arguments, 2)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dgates w[:F]^T``."""
    return _call(layer, samples, dtype, "input_grad", "dgates w -> dx", 0)


def _call(
    layer: Layer, samples: int, dtype: str, phase: str, arguments: str, recurrent: int
) -> OpCall:
    """Return a call of the product of all tokens' inputs and ``recurrent`` of their outputs.

    Of the latter the first is a chain.
    """
    (tokens, inputs), features = layer.in_shape, layer.out_shape[1]
    gates, waits = GATES * features, tokens - 1
    call = layer.op(
        phase,
        samples,
        dtype,
        arguments,
        flop=2 * samples * gates * (tokens * inputs + recurrent * waits * features),
        attrs=(("reverse", 1),) * dict(layer.attrs).get("reverse", 0),
        others={
            "gates": (samples, tokens, gates),
            "dgates": (samples, tokens, gates),
            "cells": (samples, tokens, features),
            "work": ((GATES + ROOMS) * samples * features,),
        },
    )
    whole = product(phase, samples * tokens, inputs, gates)
    call = replace(call, work_class="linear", product=whole)
    if not recurrent:
        return call
    back = phase == "weight_grad"
    sides = product("input_grad" if back else "forward", samples, features, gates)
    weight_bytes = features * gates * DTYPE_BYTES[dtype]
    again = weight_bytes * max(0, waits - 1) if weight_bytes > CACHED_BYTES else 0
    return replace(call, chain=Chain(sides, waits), reread_bytes=again)
