"""One rank of a plan alone, its peers stubbed: all is real but its messages.

A send copies its bytes into a sink, a receive copies bytes into its landing register from a place
that was filled before; either then lasts as long as the plan predicts. So the rank waits as the
network is predicted to let it, for peers that are as far as it is.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.units import PS_PER_S
from planner.program import Program, TransferTask
from sim.heap_engine import simulate

WORDS = "compute, memory and copies measured; network predicted"
"""What a report says of such a run."""
RECEIVED = np.random.default_rng(0).normal(0, 1e-3, 1 << 14)
"""What peers are taken to have sent: as large as gradients are, so that training stays finite."""

Buffer = npt.NDArray[Any]


def predicted_ns(program: Program) -> dict[int, int]:
    """Return how long each message of the plan is predicted to take, by task."""
    timeline = simulate(program.graph)
    length_ps = timeline.end_ps - timeline.start_ps
    per_ns = PS_PER_S // 1_000_000_000
    return {
        task: int(length_ps[task]) // per_ns
        for task, info in enumerate(program.tasks)
        if isinstance(info, TransferTask)
    }


class StubMessage:
    """A message to or from a peer that is not there."""

    def __init__(self, source: Buffer, target: Buffer, lasts_ns: int, *, holds: bool) -> None:
        self._source = source
        self._target = target
        self._lasts_ns = lasts_ns
        self._holds = holds
        self._done_ns = 0

    def Start(self) -> None:  # noqa: N802 - MPI's own name
        """Copy the bytes; where a transfer holds the core that computes, wait for its end."""
        self._done_ns = time.perf_counter_ns() + self._lasts_ns
        np.copyto(self._target, self._source)
        while self._holds and not self.Test():
            pass

    def Test(self) -> bool:  # noqa: N802 - MPI's own name
        """Whether it would have completed by now."""
        return time.perf_counter_ns() >= self._done_ns

    def Free(self) -> None:  # noqa: N802 - MPI's own name
        """Do nothing: there is no message."""


class Replayed:
    """The communicator of one rank whose peers are not there: what all say, it says alone."""

    rank, size = 0, 1
    """Of who takes part in the run, not of the plan."""

    def __init__(self, stands_for: int) -> None:
        """Take the rank of the plan that runs."""
        self.stands_for = stands_for
        self.lasts_ns: Mapping[int, int] = {}
        self._holds = False
        self._sink = np.zeros(0, np.uint8)

    def foretell(self, program: Program, *, holds: bool) -> None:
        """Let messages last as ``program`` predicts."""
        self.let_last(predicted_ns(program), holds=holds)

    def let_last(self, lasts_ns: Mapping[int, int], *, holds: bool) -> None:
        """Say how long the message of each task lasts, and whether it holds the core meanwhile."""
        self.lasts_ns, self._holds = lasts_ns, holds

    def Ssend_init(self, buffer: Buffer, peer: int, tag: int) -> StubMessage:  # noqa: N802
        """Return a send that ends in the sink, which all sends share."""
        del peer
        if buffer.nbytes > self._sink.nbytes:
            self._sink = np.zeros(buffer.nbytes, np.uint8)
        target = self._sink[: buffer.nbytes].view(buffer.dtype).reshape(buffer.shape)
        return StubMessage(buffer, target, self.lasts_ns[tag], holds=self._holds)

    def Recv_init(self, buffer: Buffer, peer: int, tag: int) -> StubMessage:  # noqa: N802
        """Return a receive of bytes that are there already."""
        del peer
        source = np.resize(RECEIVED, buffer.shape).astype(buffer.dtype)
        return StubMessage(source, buffer, self.lasts_ns[tag], holds=self._holds)

    def Barrier(self) -> None:  # noqa: N802
        """Wait for nobody."""

    def gather(self, value: Any) -> list[Any]:
        """Return what this rank says."""
        return [value]

    allgather = gather

    def bcast(self, value: Any) -> Any:
        """Return what this rank says."""
        return value

    def allreduce(self, value: Any, op: Any = None) -> Any:
        """Return what this rank says."""
        del op
        return value
