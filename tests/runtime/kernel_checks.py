"""Kernels held against definitions, formulas and central differences of the forward kernel."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from planner.layer import Layer
from planner.opcall import OpCall
from runtime.kernels import kernel
from tests.runtime.kernel_cases import (
    EPS_MULTIPLE,
    Arrays,
    Kernels,
    assert_close,
    gradients,
    keywords,
    loss_gradient,
    phases,
    run,
    trained,
    values,
)
from tests.runtime.kernel_definitions import Counting, definition
from tests.runtime.kernel_formulas import FORMULAS

STEP = 1e-5
DIFFERENCE_TOLERANCE = 1e-7
"""Central differences err by STEP^2 / 6 (curvature) and eps |L| / STEP (rounding): below 1e-9."""
SCRATCH = {"sgd.update": {"g"}, "adamw.update": {"g"}}
"""What a kernel may leave in any state."""


def counted(call: OpCall, tensors: Arrays) -> tuple[Arrays, int]:
    """What the definition of ``call`` leaves in its results, and the FLOP that took."""
    tally = [0]
    counting = {
        name: array
        if array.dtype == np.int64
        else np.vectorize(lambda v: Counting(float(v), tally), otypes=[object])(array)
        for name, array in tensors.items()
    }
    for tensor in call.writes:
        counting[tensor.name] = np.empty(tensor.shape, object)
    definition(call.kernel)(
        *(counting[t.name] for t in (*call.reads, *call.updates, *call.writes)), **keywords(call)
    )
    results = {t.name for t in (*call.updates, *call.writes)} - SCRATCH.get(call.kernel, set())
    return {name: counting[name].astype(float) for name in results}, tally[0]


def check_definition(call: OpCall, tensors: Arrays, kernels: Kernels = kernel) -> None:
    """Assert that kernel and definition give the same values and that the FLOP are as declared."""
    expected, flop = counted(call, {t.name: tensors[t.name] for t in (*call.reads, *call.updates)})
    got = {name: array.copy() for name, array in tensors.items()}
    run(call, got, kernels)
    terms = max(t.elements for t in (*call.reads, *call.updates, *call.writes))
    assert_close(got, expected, EPS_MULTIPLE * np.finfo(np.float64).eps * math.sqrt(terms))
    assert flop == call.flop, f"{call.signature}: {flop} FLOP counted, {call.flop} declared"


def check_layer_definitions(
    layer: Layer, samples: int, seed: int, kernels: Kernels = kernel
) -> None:
    tensors = values(layer, samples, "float64", seed)
    for phase in phases(layer):
        call = layer.call(phase, samples, "float64")
        check_definition(call, tensors, kernels)
        run(call, tensors)


def check_formula(layer: Layer, samples: int, seed: int, kernels: Kernels = kernel) -> None:
    """Assert that ``forward`` gives what the formula of its kind does; the FLOP are not counted."""
    given = values(layer, samples, "float64", seed)
    expected = np.full(layer.tensor("y", samples, "float64").shape, np.nan)
    inputs = [given[name] for name in (*layer.input_names, *layer.parameters)]
    FORMULAS[layer.kind](*inputs, expected, **dict(layer.attrs))
    got = dict(given)
    run(layer.call("forward", samples, "float64"), got, kernels)
    tolerance = EPS_MULTIPLE * np.finfo(np.float64).eps * math.sqrt(inputs[0].size)
    assert_close(got, {"y": expected}, tolerance)


def update_tensors(call: OpCall, rng: np.random.Generator) -> Arrays:
    tensors = {t.name: rng.normal(size=t.shape) for t in call.tensors}
    return {name: np.abs(x) if name == "exp_avg_sq" else x for name, x in tensors.items()}


def slope(objective: Callable[[], float], array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Derivative of ``objective`` by each entry of ``array``, which is changed and put back."""
    result = np.empty_like(array)
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + STEP
        above = objective()
        array[at] = kept - STEP
        result[at] = (above - objective()) / (2 * STEP)
        array[at] = kept
    return result


def check_differences(layer: Layer, samples: int, seed: int, kernels: Kernels = kernel) -> None:
    given = values(layer, samples, "float64", seed)

    def objective() -> float:
        tensors = dict(given)
        run(layer.call("forward", samples, "float64"), tensors)
        return float(np.vdot(tensors["y"], given["dy"]))

    expected = {name: slope(objective, given[name[1:]]) for name in gradients(layer)}
    assert_close(trained(layer, samples, given, kernels), expected, DIFFERENCE_TOLERANCE)


def check_loss_differences(
    samples: int, classes: int, seed: int, kernels: Kernels = kernel
) -> None:
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(samples, classes)), rng.integers(0, classes, samples)
    batch = samples + 2

    def objective() -> float:
        return float(loss_gradient(classes, x, labels, batch, kernel)["loss"][0])

    expected = {"dx": slope(objective, x)}
    got = loss_gradient(classes, x, labels, batch, kernels)
    assert_close(got, expected, DIFFERENCE_TOLERANCE)
