"""Links and the one transfer law.

A lone transfer over a route takes ``overhead_s(bytes) + bytes / min(cap, slowest link)``. The
overheads of a route add, its bandwidths take the minimum (cut-through). Sharing divides the
bandwidth part only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from hwprofiles.errors import ProfileError
from hwprofiles.grade import Grade
from hwprofiles.units import KIB, Floats, Q

LINEAR_BYTES = 64 * KIB
"""From this size on a transfer is taken to be linear; smaller times are mostly overhead."""
BEYOND = 1e6
"""How many times the largest measured size the last slope is carried on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a communication library uses a link under one of its wire protocols."""

    name: str
    launch_s: float
    """Paid once a call."""
    hop_s: float = 0.0
    """Paid every step."""
    rate_frac: float = 1.0
    """Of the link's bandwidth, what is reached."""
    ramp_s: float = 0.0
    """Of the pipeline: to fill it takes 2 sqrt(ramp x) where the bytes take x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One direction of one wire (or of one path through memory)."""

    name: str
    bandwidth_bytes_per_s: float
    """What the bytes move at once the transfer runs."""
    overheads: tuple[tuple[float, float], ...]
    """``(bytes, seconds)`` points of all that is not linear (latency, ramp); never falling."""
    flow_cap_bytes_per_s: float = float("inf")
    """Most that one flow can draw, where one flow cannot fill the wire."""
    grade: Grade = Grade.DATASHEET
    source: str = ""
    protocols: tuple[Protocol, ...] = ()
    """Those of the library whose transfers these are; none where there is no library."""
    switched: Protocol | None = None
    """That of flows which a switch adds up or copies (:mod:`planner.switching`)."""
    _sizes: Floats = field(init=False, repr=False, compare=False)
    _seconds: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.bandwidth_bytes_per_s > 0 or not self.flow_cap_bytes_per_s > 0:
            raise ProfileError(f"link {self.name!r}: bandwidth and cap must be > 0 bytes/s")
        rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(self.overheads))
        if not self.overheads or self.overheads[0][1] < 0 or not rising:
            raise ProfileError(
                f"link {self.name!r}: overheads must be (bytes, seconds), bytes rising and"
                f" seconds >= 0 never falling, got {self.overheads}"
            )
        sizes, seconds = np.array(self.overheads, dtype=np.float64).T
        object.__setattr__(self, "_sizes", sizes)
        object.__setattr__(self, "_seconds", seconds)

    def overhead_s(self, payload_bytes: Q) -> Q:
        """Seconds of a transfer that are not ``bytes / bandwidth``; linear between the points."""
        value = np.interp(payload_bytes, self._sizes, self._seconds)
        return value if isinstance(payload_bytes, np.ndarray) else float(value)

    def times(self, count: float) -> "Link":
        """Return ``count`` of these that carry every transfer together."""
        return replace(
            self,
            name=f"{count:g} x {self.name}",
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s * count,
            flow_cap_bytes_per_s=self.flow_cap_bytes_per_s * count,
        )

    def cable(self, count: float, latency_s: float, flow_cap_bytes_per_s: float) -> "Link":
        """Return ``count`` parallel cables of a network: one transfer takes one of them."""
        one = self.bandwidth_bytes_per_s if count > 1 else self.flow_cap_bytes_per_s
        return replace(
            self,
            name=self.name if count == 1 else f"{count:.3g} x {self.name}",
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s * count,
            overheads=((0.0, latency_s),),
            flow_cap_bytes_per_s=min(self.flow_cap_bytes_per_s, one, flow_cap_bytes_per_s),
        )

    @classmethod
    def from_samples(
        cls, name: str, samples: Sequence[tuple[float, float]], *, source: str
    ) -> "Link":
        """Turn measured ``(bytes, seconds)`` of lone transfers into the law.

        The bandwidth is the largest slope between neighbouring sizes of at least 64 KiB (there
        the transfer is linear); the rest of each time is its overhead, made monotone by a running
        maximum. So the law meets every sample, or lies above it where the times fall with size.
        Past the largest size the slope of the last two goes on (one point far beyond it), for a
        copy that outgrows a cache keeps its slower rate.

        Raises
        ------
        ProfileError
            Fewer than two sizes, a size twice, a size or time that is negative, or no time that
            rises with size.
        """
        points = sorted(samples)
        sizes = [size for size, _ in points]
        if len(points) < 2 or len(set(sizes)) < len(points):
            raise ProfileError(
                f"link {name!r}: at least two measured sizes are needed, each once, got {sizes}"
            )
        if not all(size >= 0 and seconds > 0 for size, seconds in points):
            raise ProfileError(f"link {name!r}: sizes must be >= 0 and times > 0, got {points}")
        large = [p for p in points if p[0] >= LINEAR_BYTES] or points
        if len(large) < 2:
            large = points[-2:]
        slopes = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in pairwise(large) if b[1] > a[1]]
        if not slopes:
            raise ProfileError(f"link {name!r}: measured times do not rise with size: {points}")
        bandwidth = max(slopes)
        rest = np.maximum.accumulate([max(0.0, t - b / bandwidth) for b, t in points])
        overheads = [(float(b), float(o)) for (b, _), o in zip(points, rest, strict=True)]
        (b0, o0), (b1, o1) = overheads[-2:]
        if o1 > o0:
            overheads.append((BEYOND * b1, o1 + (BEYOND - 1) * b1 * (o1 - o0) / (b1 - b0)))
        return cls(
            name=name,
            bandwidth_bytes_per_s=bandwidth,
            overheads=tuple(overheads),
            grade=Grade.MEASURED,
            source=source,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The links a transfer crosses, in order, by their index in the cluster.

    A route without links (from a device to itself) takes no time.
    """

    links: tuple[Link, ...]
    link_ids: tuple[int, ...]

    @property
    def flow_cap_bytes_per_s(self) -> float:
        """Least per-flow cap along the route."""
        caps = (link.flow_cap_bytes_per_s for link in self.links)
        return min(caps, default=float("inf"))

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Rate of a lone flow: the slowest link or the per-flow cap."""
        rates = [link.bandwidth_bytes_per_s for link in self.links]
        return min([self.flow_cap_bytes_per_s, *rates])

    def overhead_s(self, payload_bytes: Q) -> Q:
        """Sum of the overheads of the links, seconds."""
        total = payload_bytes * 0.0
        for link in self.links:
            total = total + link.overhead_s(payload_bytes)
        return total

    def transfer_s(self, payload_bytes: Q) -> Q:
        """Time of one lone transfer, seconds, scalar or per candidate."""
        return self.overhead_s(payload_bytes) + payload_bytes / self.bandwidth_bytes_per_s
