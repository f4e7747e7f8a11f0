"""What op costs rest on beside measurements here: published runs, and a run of one's own."""

from dataclasses import dataclass
from math import exp

from planner.published.spread import TO_80


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What runs of one family say of it."""

    family: str
    rows: int
    told: float
    """Mean logarithm of measured over predicted time."""
    weight: float
    """Share of it that is believed."""
    log: float
    """The shift: the logarithm of the factor on the time of all ops of the family."""

    @property
    def factor(self) -> float:
        """Factor on the time of all ops of the family."""
        return exp(self.log)

    @property
    def told_factor(self) -> float:
        """Measured over predicted time, their mean in logarithms."""
        return exp(self.told)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEvidence:
    """What the figures of links rest on that go through one transport stack."""

    name: str
    library: str
    """With the family of its releases."""
    links: tuple[str, ...]
    """Those of the machine, by name of their part."""
    rows: int
    sources: int
    interval_frac: tuple[float, float]
    """What a collective of much data takes at least and at most, over its prediction: 80 %."""

    @property
    def sentence(self) -> str:
        """What a reader is told."""
        least, most = (f"{frac - 1:+.0%}" for frac in self.interval_frac)
        return (
            f"links {', '.join(self.links)} as {self.name} uses them ({self.library}; fitted to"
            f" {self.rows} rows of {self.sources} source{'s' * (self.sources != 1)}, 80 % interval"
            f" {least} to {most})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Recorded in a plan file."""

    software: str = ""
    """Generation of software whose efficiency the devices have; empty for kernels of our own."""
    shifts: tuple[Shift, ...] = ()
    """Those of a run of one's own that concern this machine."""
    deviation: float | None = None
    """Of the logarithm of measured over predicted time; None where the grade says it."""
    deviation_many: float | None = None
    """The same for more than ``many_workers``."""
    many_workers: int = 0
    without_rows: tuple[tuple[str, str], ...] = ()
    """Devices that no published run is on, each with the generation whose fractions it has."""
    system: str = ""
    """Whose links have the figures of ``stacks``; empty where all are the datasheet's."""
    stacks: tuple[StackEvidence, ...] = ()

    def interval_s(self, step_s: float, workers: int) -> tuple[float, float] | None:
        """Return the 80 % interval of a step, None where the grade says it."""
        known = self.deviation_many if workers > self.many_workers else self.deviation
        if known is None:
            return None
        return step_s / exp(TO_80 * known), step_s * exp(TO_80 * known)
