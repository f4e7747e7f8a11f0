"""What a training must keep, whoever asks for it: a command, a function or a plan file."""

from dataclasses import fields
from math import isfinite
from typing import Any

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup
from planner.machine import Machine
from planner.opcall import TRAINING_DTYPES
from planner.optimizer import optimizer, optimizer_names
from planner.plan import ENCODINGS, Plan, Source, Training

DEFAULTS = {field.name: field.default for field in fields(Training)}


def check_training(where: str, training: Training) -> None:
    """Refuse a training that cannot be; ``where`` holds ``{}`` for the name of the field.

    Raises
    ------
    PlanError
        Naming the first field that is wrong, or that the optimizer does not take.
    """
    t = training
    rules = {
        "batch": (t.batch >= 1, "at least 1 sample"),
        "dtype": (t.dtype in TRAINING_DTYPES, " or ".join(TRAINING_DTYPES)),
        "optimizer": (t.optimizer in optimizer_names(), " or ".join(optimizer_names())),
        "learning_rate": (t.learning_rate > 0 and isfinite(t.learning_rate), "a finite rate > 0"),
        "momentum": (0 <= t.momentum < 1, "at least 0 and below 1"),
        "beta1": (0 <= t.beta1 < 1, "at least 0 and below 1"),
        "beta2": (0 <= t.beta2 < 1, "at least 0 and below 1"),
        "epsilon": (t.epsilon > 0 and isfinite(t.epsilon), "a finite number > 0"),
        "weight_decay": (0 <= t.weight_decay * t.learning_rate < 1, "a share of each parameter"),
        "seed": (0 <= t.seed < 1 << 63, "at least 0 and below 2^63"),
    }
    for name, (holds, expected) in rules.items():
        if not holds:
            raise PlanError(
                f"{_place(where, name)}: expected {expected}, got {getattr(training, name)!r};"
                " give another value"
            )
    for name in sorted(settings() - set(optimizer(t.optimizer).SETTINGS)):
        if getattr(training, name) != DEFAULTS[name]:
            raise PlanError(
                f"{_place(where, name)}: expected none, for optimizer {t.optimizer!r} takes"
                f" {', '.join(optimizer(t.optimizer).SETTINGS)}, got {getattr(training, name)!r};"
                " leave it out or choose another optimizer"
            )


def training_of(optimizer_name: str, learning_rate: float | None = None, **others: Any) -> Training:
    """Return the training that options ask for, the rate being the optimizer's where none is given.

    Raises
    ------
    PlanError
        Naming the first option that is wrong.
    """
    lookup("--optimizer", optimizer_name, optimizer_names(), error=PlanError)
    if learning_rate is None:
        learning_rate = optimizer(optimizer_name).LEARNING_RATE
    training = Training(optimizer=optimizer_name, learning_rate=learning_rate, **others)
    check_training("--{}", training)
    return training


def settings() -> set[str]:
    """Return the fields of a training that some optimizer takes."""
    return {name for other in optimizer_names() for name in optimizer(other).SETTINGS}


def _place(where: str, name: str) -> str:
    return where.format(name.replace("_", "-") if where.startswith("--") else name)


def check_source(where: str, training: Training, plan: Plan) -> None:
    """Refuse a source that cannot be, or that a step without a pipeline does not read.

    Raises
    ------
    PlanError
        Naming the first field that is wrong.
    """
    source = training.source
    lookup(f"{where}: source.encoding", source.encoding, list(ENCODINGS), error=PlanError)
    limit = source.throttle_bytes_per_s
    if not (limit >= 0 and isfinite(limit) and source.stored_bytes >= 0):
        raise PlanError(
            f"{where}: source: expected stored_bytes >= 0 and a finite throttle_bytes_per_s >= 0,"
            f" got {source.stored_bytes} and {limit}; give another value"
        )
    if source != Source() and not plan.decode_workers:
        raise PlanError(
            f"{where}: compressed, throttled or cold records need an input pipeline, got"
            " decode_workers 0; give it at least 1"
        )


def usual_dtype(machine: Machine, usual: list[str]) -> str:
    """Return the dtype to train in where none is named; add it to what is told if not float32."""
    found = machine.cluster(machine.devices).devices[0].usual_dtype()
    if found != "float32":
        usual.append(f"dtype {found}: the devices have no rate for float32; --dtype sets it")
    return found
