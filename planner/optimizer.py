"""Optimizers by name, and the op call that updates parameters."""

from dataclasses import replace
from functools import cache
from importlib import import_module
from types import ModuleType

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from planner.opcall import OpCall, Tensor
from planner.plan import Training
from planner.precision import KEPT_DTYPE, MASTERS, has_masters, judge, scales_loss, scaling


def optimizer_names() -> list[str]:
    """Return the names of the optimizers, sorted."""
    return names("planner.optimizers")


@cache
def optimizer(name: str) -> ModuleType:
    """Return the module of an optimizer.

    Raises
    ------
    PlanError
        When there is none of that name; the message lists those there are.
    """
    lookup("optimizer", name, optimizer_names(), error=PlanError)
    return import_module(f"planner.optimizers.{name}")


def update(training: Training, elements: int) -> OpCall:
    """Return the update of ``elements`` parameters in flat slices.

    The gradients are scratch. Of halves the masters and states are updated, and the halves written.
    """
    chosen, dtype = optimizer(training.optimizer), training.dtype

    def flat(dtype: str, *names: str) -> tuple[Tensor, ...]:
        return tuple(Tensor(name=name, shape=(elements,), dtype=dtype) for name in names)

    plain = OpCall(
        kernel=f"{training.optimizer}.update",
        op_class=training.optimizer,
        dtype=dtype,
        flop=chosen.FLOP * elements,
        updates=flat(dtype, "p", "g", *chosen.STATES),
        settings=tuple((name, getattr(training, name)) for name in chosen.SETTINGS),
    )
    if not has_masters(dtype):
        return plain
    return replace(
        plain,
        kernel=f"{training.optimizer}.mixed",
        reads=(*flat(dtype, "g"), scaling()),
        updates=flat(KEPT_DTYPE, MASTERS, *chosen.STATES),
        writes=flat(dtype, "p"),
    )


def update_arrays(training: Training) -> tuple[str, ...]:
    """Return the registers of the tensors of ``update``, in their order."""
    named = {"p": "parameters", "g": "gradients"}
    return tuple(named.get(tensor.name, tensor.name) for tensor in update(training, 1).tensors)


def closing(training: Training, parameters: int) -> tuple[OpCall, ...]:
    """Return what ends a step of one bucket: the update, after the judge where there is one."""
    judged = (judge(parameters, training.dtype),) * scales_loss(training.dtype)
    return (*judged, update(training, parameters))
