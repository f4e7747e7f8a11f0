"""What happens to links while a graph runs: they slow down, fail, or carry what others send.

The SimPy engine alone knows of it. A transfer whose link fails goes on over its detour, with what
it has not sent yet; one that begins later takes the detour from the start. Where there is none, the
run stops there: ``LinkLost`` says when, which link, and which transfer.

ASSUMES: a detour costs no more latency than the route that it replaces, and finding it no time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Detour = Callable[[Sequence[int], frozenset[int]], Sequence[int] | None]
"""From the links of a route and all links that have failed, to links that take its place."""


def no_detour(links: Sequence[int], failed: frozenset[int]) -> None:
    """Return that there is no other way."""
    del links, failed


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """A link has another bandwidth from an instant on."""

    at_ps: int
    link: int
    factor: float
    """Of the bandwidth that it had at the start; 0: it has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A flow of somebody else's that never ends."""

    link: int
    most_bytes_per_s: float
    """What it takes where nobody else wants the link; else its fair share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbances:
    """All that happens to the links of a run."""

    changes: tuple[LinkChange, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    detour: Detour = no_detour


QUIET = Disturbances()
"""Nothing happens."""
