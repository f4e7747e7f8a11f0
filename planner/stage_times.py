"""How long the parts of a pipelined step take, and the bounds that hold for every schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

RECOMPUTE = ("always", "except-last", "never")
"""Of which microbatches the forward pass is run again, instead of keeping what it gives."""


def is_recomputed(recompute: str, microbatch: int, microbatches: int) -> bool:
    """Whether the forward pass of a microbatch is run again before its backward pass."""
    is_last = microbatch == microbatches - 1
    return recompute == "always" or (recompute == "except-last" and not is_last)


class Turn(NamedTuple):
    """A pass of one microbatch on one stage."""

    phase: str
    """``forward`` or ``backward``."""
    microbatch: int


Pair = tuple[int, int]
"""Stages that send one another."""


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """Times of one microbatch, by stage, picoseconds."""

    microbatches: int
    recompute: str
    """One of ``RECOMPUTE``."""
    load_ps: int
    """Of the first stage."""
    forward_ps: tuple[int, ...]
    backward_ps: tuple[int, ...]
    """The loss is the last stage's."""
    add_ps: tuple[int, ...]
    """What every microbatch but the first one adds to the gradients."""
    update_ps: tuple[int, ...]
    """Of a step."""
    sent_ps: Mapping[Pair, int]
    """By (source, target): its lone transfers one after the other."""
    returned_ps: Mapping[Pair, int]
    """Gradients back to the source, by the same pairs."""

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.forward_ps)

    def recomputes(self, microbatch: int) -> bool:
        """Whether the forward pass of a microbatch is run again."""
        return is_recomputed(self.recompute, microbatch, self.microbatches)

    @property
    def recomputes_last(self) -> bool:
        """Whether that of the last microbatch is."""
        return self.recomputes(self.microbatches - 1)

    def again_ps(self, stage: int) -> int:
        """Return what a stage runs again for a microbatch other than the last."""
        return self.forward_ps[stage] if self.recompute != "never" else 0

    def work_ps(self, stage: int) -> int:
        """Return all passes of a stage."""
        more = self.microbatches - 1
        both = self.forward_ps[stage] + self.backward_ps[stage]
        again = more + self.recomputes_last if self.recompute != "never" else 0
        passes = self.microbatches * both + again * self.forward_ps[stage]
        return passes + more * self.add_ps[stage]

    @cached_property
    def fill_ps(self) -> tuple[int, ...]:
        """By stage: when it can begin."""
        found = [self.load_ps] + [0] * (self.stages - 1)
        for (source, target), sent_ps in sorted(self.sent_ps.items(), key=lambda x: x[0][1]):
            ready = found[source] + self.forward_ps[source] + sent_ps
            found[target] = max(found[target], ready)
        return tuple(found)

    @cached_property
    def drain_ps(self) -> tuple[int, ...]:
        """By stage: what follows its last backward pass."""
        found = list(self.update_ps)
        for (source, target), returned_ps in sorted(self.returned_ps.items()):
            after = returned_ps + self.last_backward_ps(source) + found[source]
            found[target] = max(found[target], after)
        return tuple(found)

    def last_backward_ps(self, stage: int) -> int:
        """Return the backward pass of a stage's last turn."""
        return self.backward_ps[stage] + (self.microbatches > 1) * self.add_ps[stage]

    def lane_bounds_ps(self) -> Mapping[str, int]:
        """Return by stage: when it can begin, all its passes, and what must follow them.

        With equal stages, without transfers and nothing run again, the last stage gives ``(m + n -
        1)`` times both passes of a microbatch for n stages and m microbatches, the filled and
        drained pipeline of GPipe.
        """
        parts = enumerate(zip(self.fill_ps, self.drain_ps, strict=True))
        found = {f"stage {at}": fill + self.work_ps(at) + drain for at, (fill, drain) in parts}
        return found | {"input": self.microbatches * self.load_ps}
