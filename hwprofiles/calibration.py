"""What was measured on one identity: ops, transfers and scalars, each a median of repeats."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from statistics import median

from hwprofiles.errors import RecordError
from hwprofiles.grade import Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class OpSample:
    """One op, timed alone on every lane at once; its signature holds kernel, shapes and dtype."""

    signature: str
    op_class: str
    dtype: str
    flop: int
    """Multiply-add = 2 FLOP; 0 where the op only moves bytes."""
    moved_bytes: int
    """Every element read and every element written, once each."""
    median_s: float
    iqr_s: float
    """Distance between the quartiles of the repeats, seconds."""
    repeats: int
    grade: Grade = Grade.MEASURED
    """``FITTED`` where it was measured in another context than the newest."""

    def __post_init__(self) -> None:
        if not (self.median_s > 0 and isfinite(self.median_s) and self.iqr_s >= 0):
            raise RecordError(
                f"measured op {self.signature!r}: median_s must be > 0 and iqr_s >= 0, got"
                f" {self.median_s} and {self.iqr_s}"
            )
        if self.flop < 0 or self.moved_bytes < 0 or self.repeats < 1:
            raise RecordError(
                f"measured op {self.signature!r}: flop and moved_bytes must be >= 0 and repeats"
                f" >= 1, got {self.flop}, {self.moved_bytes} and {self.repeats}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSample:
    """One lone transfer between two lanes."""

    payload_bytes: int
    median_s: float
    iqr_s: float

    def __post_init__(self) -> None:
        if not (self.payload_bytes >= 0 and self.median_s > 0 and isfinite(self.median_s)):
            raise RecordError(
                f"measured transfer of {self.payload_bytes} bytes: expected >= 0 bytes in > 0 s,"
                f" got {self.median_s} s"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """All that is known by measurement of one identity; empty parts were not measured."""

    ops: Mapping[str, OpSample] = field(default_factory=dict)
    """By signature."""
    transfers: tuple[TransferSample, ...] = ()
    """By rising size."""
    scalars: Mapping[str, float] = field(default_factory=dict)
    """SI values by name, the unit at the end of the name, e.g. ``launch_overhead_s``."""
    sentinels: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Median seconds on each rank by signature; re-timed at the start of a run to see drift."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Facts that may move a time a little, e.g. the kernel release of the newest measurement."""

    @property
    def transfer_points(self) -> list[tuple[float, float]]:
        """``(bytes, seconds)`` of every transfer, as :meth:`Link.from_samples` takes them."""
        return [(float(t.payload_bytes), t.median_s) for t in self.transfers]

    def in_context(self, context: Mapping[str, str]) -> "Calibration":
        """Return this calibration as seen from ``context``: in another one no op is measured.

        A time taken under another kernel release is still the best estimate, so it stays, graded
        ``FITTED``.
        """
        if dict(context) == dict(self.context):
            return self
        ops = {name: replace(op, grade=Grade.FITTED) for name, op in self.ops.items()}
        return replace(self, ops=ops)


def co_run_factor(alone: Calibration, together: Calibration) -> float | None:
    """Time of an op while all lanes of ``together`` run it over its time in ``alone``: the median.

    Lanes share clocks, caches and memory. Plans are priced with the calibration of their own number
    of workers, which holds this factor op by op; None where no op is in both.
    """
    both = alone.ops.keys() & together.ops.keys()
    factors = [together.ops[name].median_s / alone.ops[name].median_s for name in both]
    return median(factors) if factors else None
