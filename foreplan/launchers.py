"""Who starts the workers: we, on this machine or on the hosts of a file, or a launcher around us.

Under an outer mpiexec the processes that it started are the workers: rank 0 also does what the
command does, the others serve it. Under torchrun or srun on one host the first process starts
mpiexec itself, as always, and the others have nothing to do.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwprofiles.errors import PlanError

if TYPE_CHECKING:
    from runtime.launch import Launch


@contextmanager
def launcher(hosts: Path | None) -> "Iterator[tuple[Launch, int | None]]":
    """Yield how to start workers, and how many may run; a process with nothing to do ends here.

    Under an outer mpiexec the environment is set to that of a worker, so this must come before
    NumPy is imported.

    Raises
    ------
    PlanError
        When a launcher without MPI spans several hosts, or a hosts file is given under a launcher.
    RecordError
        When the hosts file is wrong.
    """
    from runtime.context import launch_context

    context = launch_context(os.environ)
    if context.launcher != "alone" and hosts:
        raise PlanError(
            f"--hosts {hosts}: expected to start workers, but {context.launcher} has started"
            f" {context.size} processes; leave out --hosts, or run foreplan once"
        )
    if context.launcher == "mpiexec":
        yield from _outer(context.size)
    elif context.launcher != "alone":
        if not context.is_one_host:
            raise PlanError(
                f"{context.launcher}: expected {context.size} processes on one host, for it brings"
                " no MPI that could join several; run `foreplan execute --hosts FILE` once, or"
                " start foreplan with mpiexec"
            )
        if context.rank:
            sys.exit(0)
        from runtime.launch import launch

        yield launch, None
    else:
        yield from _ours(hosts)


def _ours(hosts: Path | None) -> "Iterator[tuple[Launch, int | None]]":
    from runtime.launch import launch

    if hosts is None:
        yield launch, None
        return
    from hwprofiles.opstore import home_folder
    from runtime.hosts import read_hosts

    found = read_hosts(hosts, shared=home_folder(os.environ) / "jobs")
    yield partial(launch, hosts=found), found.workers


def _outer(size: int) -> "Iterator[tuple[Launch, int | None]]":
    """Make this process a worker of the outer mpiexec; all but rank 0 serve until dismissed."""
    from hwprofiles.identity import worker_environment

    os.environ.update(worker_environment(os.environ))
    from runtime.outer import Team

    team = Team.of_world()
    if team.rank:
        team.serve()
        sys.exit(0)
    try:
        yield team.launch, size
    finally:
        team.dismiss()
