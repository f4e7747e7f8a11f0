"""Workers that somebody else has started: rank 0 hands out jobs, the other ranks serve.

Such workers are watched by their own launcher: it ends all of them when one dies.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hwprofiles.errors
from hwprofiles.errors import PlanError
from runtime.voice import Voice
from runtime.watch import Progress
from runtime.worker import fault_of, run

JOB = 1
"""Tag of the message that hands out a job; its ranks work, None dismisses."""
IDLE_S = 0.005
"""Sleep between two looks for a job: ranks that have none leave their core to rank 0."""
FIRST_S = 0.5
"""Head start of rank 0 in saying what is wrong, where all ranks find the same."""


class Team:
    """This process among all that the outer launcher started."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.rank: int = world.rank

    @classmethod
    def of_world(cls) -> "Team":
        """Return the team of all processes; starts MPI."""
        from mpi4py import MPI

        return cls(MPI.COMM_WORLD)

    def launch(
        self,
        job: dict[str, Any],
        workers: int,
        *,
        timeout_s: float,
        progress: Progress = lambda done, total: None,
    ) -> Any:
        """Run ``job`` on ranks 0 to ``workers`` - 1, this one among them; return its result."""
        del timeout_s  # the outer launcher watches
        from planner.jsonable import to_jsonable

        if workers > self._world.size:
            raise PlanError(
                f"job: needs {workers} workers, mpiexec has started {self._world.size}; start more"
            )
        for rank in range(1, self._world.size):
            self._world.send((job, workers), rank, tag=JOB)
        return to_jsonable(self._work(job, workers, progress))

    def serve(self) -> None:
        """Do what rank 0 hands out, until it dismisses this rank."""
        while True:
            while not self._world.iprobe(source=0, tag=JOB):
                time.sleep(IDLE_S)
            asked = self._world.recv(source=0, tag=JOB)
            if asked is None:
                return
            job, workers = asked
            self._work(job, workers, lambda done, total: None)

    def dismiss(self) -> None:
        """Let the other ranks go."""
        for rank in range(1, self._world.size):
            self._world.send(None, rank, tag=JOB)

    def _work(self, job: dict[str, Any], workers: int, progress: Progress) -> object:
        """Do this rank's part; a fault ends all ranks, for the others may wait for this one."""
        group = self._world.Split(0 if self.rank < workers else 1, self.rank)
        if self.rank >= workers:
            return None

        def tell(facts: dict[str, object]) -> None:
            progress(int(str(facts["done"])), int(str(facts["total"])))

        try:
            with _unpinned_after(), tempfile.TemporaryDirectory(prefix="foreplan-") as folder:
                return run(job, group, Path(folder), Voice(self.rank, tell))
        except BaseException as error:
            kind, text = fault_of(error, self.rank)
            time.sleep(FIRST_S if self.rank else 0)
            print(f"foreplan: {text}", file=sys.stderr, flush=True)  # noqa: T201 - nobody else can
            code = getattr(getattr(hwprofiles.errors, kind, None), "exit_code", 1)
            self._world.Abort(code)
            os._exit(code)  # where another rank is gone already, MPI may come back from that


@contextmanager
def _unpinned_after() -> Iterator[None]:
    """Give this process its cores back after a job, for rank 0 also does what comes between."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
