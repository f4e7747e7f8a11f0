"""How near a device comes to its peaks, by kind of work: fitted to published training runs.

The constants stand in ``data/efficiency.toml``, written by ``python -m planner.published.fit``:
ratios of the classes of work on a vector and on a matrix unit, and for each generation of devices
its fraction of a peak by dtype, of its memory's rate, and the time that a kernel takes beside its
work. A *stack* is a generation of software; its two constants change the time of matrix products
and of memory traffic; ops that compute no product take no kernels of their own where it is
``fused``. On matrix units, 16 bits move ``narrow`` times as fast through such ops as twice of them
would say: mixed precision came with fused kernels.

A *family* is a stack on a generation. A table may hold ``shifts``: by family, the logarithm of the
factor by which all its ops take longer, known from a run of one's own
(``planner.published.shift``).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from math import exp
from typing import Any

from hwprofiles.device import NARROW, Device, Efficiency
from hwprofiles.errors import ProfileError
from hwprofiles.units import US

DATA = "efficiency.toml"


DTYPES = ("float32", "tf32", "float16", "bfloat16")

Table = Mapping[str, Any]
"""The content of ``data/efficiency.toml``."""


@cache
def constants() -> Table:
    """Return the constants that are shipped."""
    return tomllib.loads(resources.files("hwprofiles.data").joinpath(DATA).read_text("utf-8"))


def stack_names() -> tuple[str, ...]:
    """Return the names of the stacks."""
    return tuple(constants()["stacks"])


def generation_of(device: str, table: Table | None = None) -> str | None:
    """Return the generation that a device belongs to, where one is fitted."""
    blocks = (table or constants())["generations"]
    return next((str(name) for name, b in blocks.items() if device in b["devices"]), None)


def family_of(stack: str, generation: str) -> str:
    """Return the name of the family of a stack on a generation."""
    return f"{stack} on {generation}"


def with_efficiency(device: Device, stack: str, table: Table | None = None) -> Device:
    """Return ``device`` with the efficiency of its generation under a stack.

    ``table`` takes the place of the shipped constants.

    Raises
    ------
    ProfileError
        When no generation that is fitted has this device, or no stack is called so.
    """
    known = table or constants()
    software = known["stacks"].get(stack)
    if software is None:
        raise ProfileError(
            f"stack {stack!r}: expected one of {', '.join(known['stacks'])}; name one of these"
        )
    generation = generation_of(device.name, known)
    if generation is None:
        raise ProfileError(
            f"device {device.name!r}: no published runs of its generation are fitted; leave the"
            " stack out to plan with the datasheet"
        )
    block = known["generations"][generation]
    slower = exp(known.get("shifts", {}).get(family_of(stack, generation), 0.0))
    memory_frac = block["memory_frac"] / software["memory"] / slower
    kernel_s = block["kernel_us"] * US * slower
    fracs, elementwise = {}, dict.fromkeys(DTYPES, memory_frac)
    for dtype in DTYPES:
        is_matrix = device.uses_matrix(dtype)
        peak_frac = block["peak_frac"].get(dtype if is_matrix else "float32")
        if peak_frac is None:
            continue
        unit = known["units"]["matrix" if is_matrix else "vector"]
        if is_matrix and dtype in NARROW:
            elementwise[dtype] *= unit["narrow"]
        for kind, ratio in unit["classes"].items():
            fracs[f"{kind}/{dtype}"] = peak_frac * ratio / software["products"] / slower
    return replace(
        device,
        efficiency=Efficiency(
            peak_frac=fracs,
            memory_frac=memory_frac,
            elementwise_frac=elementwise,
            kernel_s=kernel_s,
            elementwise_kernel_s=0.0 if software["fused"] else kernel_s,
            source=f"fitted to {block['source']}; stack {stack}: {software['source']}",
        ),
    )
