"""Published rows in our words: model, system, plan. No result is read here."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.plan import Plan, Training

BUCKET_BYTES = 25 * 2**20
"""PyTorch's default of ``DistributedDataParallel(bucket_cap_mb=25)``; Horovod fuses up to 64 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A published run as a plan."""

    model: str
    system: str
    training: Training
    plan: Plan


class Unsaid(Exception):
    """Why a row cannot be expressed; not an error of the user."""


@cache
def _names() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))


def express(told: Mapping[str, str]) -> Case:
    """Return the run that a row tells of.

    Raises
    ------
    Unsaid
        With the reason, when a field is not stated or names what is not built in.
    """
    model = _name("models", "model", _key(told["model"]))
    dtype = _name("precisions", "precision", told.get("precision", "").lower())
    node = _name("systems", "accelerator", told["accelerator"])
    workers = _whole("n_devices", told)
    each = _whole("devices_per_node", told)
    samples = _whole("batch_per_device", told)
    nodes = -(-workers // each)
    return Case(
        model=model,
        system=node if nodes == 1 else f"{node}:{nodes}",
        training=Training(batch=workers * samples, dtype=dtype),
        plan=Plan(
            workers=workers,
            microbatch=samples,
            placement=tuple(range(workers)),
            algorithm="ring" if workers > 1 else "none",
            bucket_bytes=BUCKET_BYTES,
            overlap=workers > 1,
        ),
    )


def _key(name: str) -> str:
    return name.lower().replace(" ", "").replace("-", "").replace("_", "")


def _name(table: str, column: str, told: str) -> str:
    found = _names()[table].get(told)
    if found is None:
        raise Unsaid(f"{column} {told!r} is not built in" if told else f"{column} is not stated")
    return found


def _whole(column: str, told: Mapping[str, str]) -> int:
    text = told.get(column, "")
    if not text.isdigit() or not int(text):
        raise Unsaid(
            f"{column} is {text!r}, no whole number" if text else f"{column} is not stated"
        )
    return int(text)
