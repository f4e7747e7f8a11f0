"""Transport stacks: what a communication library makes of the links under it.

A *stack* is a kind of link together with the library, and the family of its releases, that moves
bytes over it. Its constants are latencies and the shares of the wire that the library reaches; they
stand in ``data/transports.toml``, written by ``python -m planner.published.collective_fit``, and
belong to the stack: never to a system, a source or a row. Which stack a link goes through is said
there too, so that a system is only a composition of its links.
"""

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from hwprofiles.units import US

DATA = "transports.toml"
SHARED = "library"
"""The stack that holds what all links have in common."""
PROTOCOLS = ("ll", "ll128", "simple")
"""Wire protocols: a flag beside every word, one in every 128 bytes, or none among the data."""
WIRE_SHARE = {"ll": 0.5, "ll128": 120 / 128, "simple": 1.0}
"""Data in what a protocol sends: 8 of 16 bytes, 120 of 128. Source: NVIDIA/nccl (v2.30.7-1)."""
FRACTIONS = ("share",)
"""How the names of constants end that have no unit; the others are microseconds in the file."""

Constants = Mapping[str, float]
"""``"STACK.CONSTANT"`` to its value: seconds, or a share of the wire."""


@cache
def transports() -> Mapping[str, Any]:
    """Return the content of the shipped file."""
    return tomllib.loads(resources.files("hwprofiles.data").joinpath(DATA).read_text("utf-8"))


@cache
def shipped() -> Constants:
    """Return the shipped constants, in SI units."""
    return flat({name: block["constants"] for name, block in transports()["stacks"].items()})


def flat(blocks: Mapping[str, Mapping[str, float]]) -> Constants:
    """Return the constants of stacks by their full names, in SI units.

    >>> flat({"nvlink-4": {"ring_share": 0.8, "hop": 2.0}})
    {'nvlink-4.ring_share': 0.8, 'nvlink-4.hop': 2e-06}
    """
    return {
        f"{stack}.{name}": value if name.endswith(FRACTIONS) else value * US
        for stack, block in blocks.items()
        for name, value in block.items()
    }


@cache
def _stacks_of_links() -> Mapping[str, str]:
    return {link: name for name, block in transports()["stacks"].items() for link in block["links"]}


def stack_of(link: str) -> str | None:
    """Return the stack that a link part goes through, None where none is known.

    >>> stack_of("4 x efa-v2"), stack_of("qpi-9.6")
    ('efa', None)
    """
    return _stacks_of_links().get(link.rpartition(" x ")[2])


def protocols_of(stack: str) -> tuple[str, ...]:
    """Return the protocols that a stack can use."""
    return tuple(transports()["stacks"][stack].get("protocols", PROTOCOLS))


def fitted_stacks() -> frozenset[str]:
    """Return the stacks some of whose constants are fitted; all those of the others are assumed."""
    return frozenset(name for name, block in transports()["stacks"].items() if block["fitted"])


def seen_stacks() -> frozenset[str]:
    """Return the stacks that published rows went through; constants of the others are assumed."""
    return frozenset(name for name, block in transports()["stacks"].items() if block["rows"])


def interval_of(time_s: float, kind: str) -> tuple[float, float]:
    """Return the interval around a predicted time in which 80 % of left-out times lie."""
    half = float(transports()["spread"]["interval_80"][kind])
    return time_s * math.exp(-half), time_s * math.exp(half)
