"""How near a device comes to its peaks, by kind of work: fitted to published training runs.

The constants stand in ``data/efficiency.toml``, written by ``python -m planner.published.fit``:
ratios of the classes of work on a vector and on a matrix unit, and for each generation of devices
its fraction of a peak by dtype, of its memory's rate, and the time that a kernel takes beside its
work. A *stack* is a generation of software; its constants change the time of matrix products, of
memory traffic and, where its executor is its own, of starting kernels (``launch``); ops that
compute no product take no kernels of their own where it is ``fused``. On matrix units, 16 bits move
``narrow`` times as fast through such ops as twice of them would say: mixed precision came with
fused kernels.

A generation that no published run is fitted for is ``like`` another: its block has no constants,
and takes those of the nearest one that has (``planner/published/priors.toml`` says which is near).
Fractions of datasheet figures carry over, for what is reached of a unit or a memory changes less
from generation to generation than the figures do; so they do to a dtype that a generation has no
runs of, from the nearest dtype of its matrix unit. ``sums`` is the share of its rate that a matrix
unit has left with sums in float32, which is the rate that files state: on GeForce cards a half, and
a unit that is held back there reaches twice the share of it.

A *family* is a stack on a generation. A table may hold ``shifts``: by family, the logarithm of the
factor by which all its ops take longer, known from a run of one's own
(``planner.published.shift``).
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from math import exp
from typing import Any

from hwprofiles.device import NARROW, Device, Efficiency
from hwprofiles.errors import ProfileError
from hwprofiles.parts import load_device
from hwprofiles.units import US

DATA = "efficiency.toml"


DTYPES = ("float32", "tf32", "float16", "bfloat16")

NEAREST = {
    "float32_matrix": ("tf32", "float16", "bfloat16"),
    "tf32": ("float16", "bfloat16"),
    "float16": ("bfloat16", "tf32"),
    "bfloat16": ("float16", "tf32"),
}
"""Dtypes of a matrix unit, the nearest first, whose fraction stands for one that has none."""

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


def is_fitted(generation: str, table: Table | None = None) -> bool:
    """Return whether published runs of a generation are among those that are fitted."""
    block = (table or constants())["generations"][generation]
    return not str(block["source"]).startswith("0 ")


def unit_of(device: Device, dtype: str) -> str:
    """Return the unit that computes products in ``dtype``: ``matrix``, ``vector`` or ``core``."""
    if device.uses_matrix(dtype):
        return "matrix"
    return "core" if device.kind == "cpu" else "vector"


def peak_key(device: Device, dtype: str) -> str:
    """Return what a fraction of the peak is called: its dtype, and the unit where two have it."""
    if not device.uses_matrix(dtype):
        return "float32"
    return "float32_matrix" if dtype == "float32" else dtype


def nearest(blocks: Table, generation: str) -> Iterator[str]:
    """Yield a generation, the one that it is like, the one that this is like, and so on."""
    seen: list[str] = []
    name: str | None = generation
    while name and name not in seen:
        seen.append(name)
        yield name
        name = blocks[name].get("like")


def power_frac(device: Device, blocks: Table, generation: str) -> float:
    """Return the clock that a device keeps under its power, over that of its generation's measure.

    The power of a chip grows with the cube of its clock, for its voltage grows with it; so a board
    of less power for each operation runs products, which take most of it, that much slower than its
    boost clock says. Elsewhere a memory sets the pace.
    """
    whole = blocks[generation].get("measure")
    if whole is None:
        return 1.0
    own, its = _joules(device), _joules(_shipped(whole))
    return float((own / its) ** (1 / 3)) if own and its else 1.0


@cache
def _shipped(name: str) -> Device:
    return load_device(name)


def _joules(device: Device) -> float:
    """Return the power of a board for each operation of its vector unit, 0 where none is known."""
    return (device.power_w or 0.0) / device.peak_flop_per_s.get("float32", float("inf"))


def memory_from(blocks: Table, generation: str) -> str:
    """Return the generation whose constants of memory and kernels a generation takes."""
    return next(name for name in nearest(blocks, generation) if "memory_frac" in blocks[name])


def peak_from(blocks: Table, generation: str, key: str) -> tuple[str, str, float] | None:
    """Return whose fraction of a peak a generation takes: of which one, by which key, how often.

    None where no generation that it is like has one.
    """
    for name in nearest(blocks, generation):
        for other in (key, *NEAREST.get(key, ())):
            if other in blocks[name].get("peak_frac", {}):
                sums = [blocks[n].get("sums", 1.0) for n in (name, generation)]
                return name, other, 1.0 if key == "float32" else sums[0] / sums[1]
    return None


def with_efficiency(device: Device, stack: str, table: Table | None = None) -> Device:
    """Return ``device`` with the efficiency of its generation under a stack.

    ``table`` takes the place of the shipped constants.

    Raises
    ------
    ProfileError
        When the device belongs to no generation that is known, or no stack is called so.
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
            f"device {device.name!r}: it belongs to no generation of devices that is known; leave"
            " the stack out to plan with the datasheet"
        )
    blocks = known["generations"]
    block = blocks[memory_from(blocks, generation)]
    slower = exp(known.get("shifts", {}).get(family_of(stack, generation), 0.0))
    memory_frac = block["memory_frac"] / software["memory"] / slower
    kernel_s = block["kernel_us"] * US * software["launch"] * slower
    fracs, elementwise = {}, dict.fromkeys(DTYPES, memory_frac)
    is_known, taken = is_fitted(generation, known), []
    power = power_frac(device, blocks, generation)
    for dtype in DTYPES:
        is_matrix, key = device.uses_matrix(dtype), peak_key(device, dtype)
        found = peak_from(blocks, generation, key)
        if found is None:
            continue
        name, other, factor = found
        peak_frac = blocks[name]["peak_frac"][other] * factor * power
        taken += [] if is_known and (name, other) == (generation, key) else [dtype]
        unit = known["units"][unit_of(device, dtype)]
        if is_matrix and dtype in NARROW:
            elementwise[dtype] *= unit["narrow"]
        for kind, ratio in unit["classes"].items():
            fracs[f"{kind}/{dtype}"] = peak_frac * ratio / software["products"] / slower
    rows = blocks[generation]["source"]
    if not is_known:
        rows += f", as {blocks[generation].get('like', 'its priors')}"
    return replace(
        device,
        efficiency=Efficiency(
            peak_frac=fracs,
            memory_frac=memory_frac,
            elementwise_frac=elementwise,
            kernel_s=kernel_s,
            elementwise_kernel_s=0.0 if software["fused"] else kernel_s,
            source=f"fitted to {rows}; stack {stack}: {software['source']}",
            extrapolated=tuple(taken),
        ),
    )
