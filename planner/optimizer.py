"""Optimizers by name, and the op call that updates parameters."""

from functools import cache
from importlib import import_module
from types import ModuleType

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from planner.opcall import OpCall, Tensor
from planner.plan import Training


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
    """Return the update of ``elements`` parameters in flat slices; the gradients are scratch."""
    chosen = optimizer(training.optimizer)
    arrays = ("p", "g", *chosen.STATES)
    return OpCall(
        kernel=f"{training.optimizer}.update",
        op_class=training.optimizer,
        dtype=training.dtype,
        flop=chosen.FLOP * elements,
        updates=tuple(Tensor(name=x, shape=(elements,), dtype=training.dtype) for x in arrays),
        settings=tuple((name, getattr(training, name)) for name in chosen.SETTINGS),
    )
