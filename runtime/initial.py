"""Initial parameters: the same on every worker, for every plan and dtype."""

from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.layer import Layer, Shape
from planner.model import ModelGraph


def initial_parameters(model: ModelGraph, dtype: str, seed: int) -> npt.NDArray[np.floating[Any]]:
    """Return all parameters of ``model`` in one flat array, ready to train.

    Weights are normal with mean 0 and deviation ``1 / sqrt(fan_in)``, or that of their kind (tables
    of tokens and positions), biases and shifts 0, scales of a normalisation 1. Each layer has its
    own stream, ``default_rng([seed, layer index])``, drawn in float64 and then cast: so a stage
    that holds some layers draws what a worker that holds all does, and dtypes differ by rounding.

    Parameters
    ----------
    model : ModelGraph
    dtype : str
        ``float32`` or ``float64``.
    seed : int

    Returns
    -------
    float array, shape (model.parameter_count,)
        By layer, and in a layer in the order of ``Layer.parameters``.

    Notes
    -----
    Source: LeCun, Bottou, Orr and Mueller, Efficient BackProp (1998), section 4.6.
    """
    flat = np.zeros(model.parameter_count, dtype)
    end = 0
    for index, layer in enumerate(model.layers):
        rng = np.random.default_rng([seed, index])
        for name, shape in layer.parameters.items():
            start, end = end, end + prod(shape)
            if name == "w" and len(shape) == 1:  # the scale of a normalisation
                flat[start:end] = 1
            elif name == "w":
                flat[start:end] = rng.normal(0.0, _deviation(layer, shape), end - start)
    return flat


def _deviation(layer: Layer, shape: Shape) -> float:
    """Return the deviation of first weights: the kind's own, or one over the root of the fan-in."""
    own: float = getattr(layer.module, "DEVIATION", 0.0)
    outputs = shape[0 if len(shape) == 4 else -1]  # channels, or features
    return own or 1 / sqrt(prod(shape) // outputs)
