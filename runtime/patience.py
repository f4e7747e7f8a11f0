"""Waiting where ranks share cores: who waits for the others sleeps, so that these get on."""

import time
from typing import Any

from runtime.actors import SLEEP_S


class Patient:
    """An MPI communicator whose ranks sleep until all of them have come; MPI's own would poll."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def Barrier(self) -> None:  # noqa: N802 - MPI's own name
        """Wait for all ranks."""
        all_here = self._comm.Ibarrier()
        while not all_here.Test():
            time.sleep(SLEEP_S)

    def gather(self, *given: Any, **how: Any) -> Any:
        """Return what all ranks give, on one."""
        self.Barrier()
        return self._comm.gather(*given, **how)

    def allgather(self, given: Any) -> Any:
        """Return what all ranks give."""
        self.Barrier()
        return self._comm.allgather(given)

    def allreduce(self, *given: Any, **how: Any) -> Any:
        """Return what all ranks give, as one."""
        self.Barrier()
        return self._comm.allreduce(*given, **how)

    def bcast(self, *given: Any, **how: Any) -> Any:
        """Return what one rank gives."""
        self.Barrier()
        return self._comm.bcast(*given, **how)
