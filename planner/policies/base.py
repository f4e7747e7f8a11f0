"""What a policy is: given the ways of a collective, it says which one a library takes.

A policy is a module with ``choose(way_list, payload_bytes, operation, group, constants)``. Whatever
is chosen, its time is that of the one law (:mod:`planner.transport_law`).

A library that errs may take longer for less. Nobody has to, for an array can be padded: the time
of a policy other than ``best`` is the largest of those of all powers of two up to the size; between
two of them it is interpolated in the logarithm of the size.
"""

import math
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from hwprofiles.transport import Constants
from planner.transport_law import Group, Way, ways

BEST = "best"


class Policy(Protocol):
    """The module of a policy."""

    def choose(
        self,
        way_list: Sequence[Way],
        payload_bytes: float,
        operation: str,
        group: Group,
        constants: Constants,
    ) -> Way:
        """Return one of ``way_list``, which is not empty."""
        ...


def policy_names() -> list[str]:
    """Return the names of the policies."""
    return names("planner.policies")


@cache
def policy(name: str) -> Policy:
    """Return the policy called ``name``."""
    known = lookup("policy", name, policy_names(), error=PlanError)
    return cast("Policy", import_module(f"planner.policies.{known}"))


def call_s(
    operation: str,
    payload_bytes: float,
    group: Group,
    constants: Constants,
    *,
    name: str = BEST,
    algorithm: str | None = None,
) -> float:
    """Return the time of one call under a policy, seconds; it never falls with the payload.

    Raises
    ------
    PlanError
        As :func:`planner.transport_law.ways`; an unknown policy.
    """
    chooser = policy(name)

    def one_s(size: float) -> float:
        found = ways(operation, size, group, algorithm)
        return chooser.choose(found, size, operation, group, constants).time_s(constants)

    if name == BEST:
        return one_s(payload_bytes)
    doublings = math.log2(max(payload_bytes, 1.0))
    low = math.floor(doublings)
    below_s = max(one_s(2.0**place) for place in range(low + 1))
    above_s = max(below_s, one_s(2.0 ** (low + 1)))
    return below_s + (above_s - below_s) * (doublings - low)
