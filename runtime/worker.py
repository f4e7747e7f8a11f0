"""One worker process: ``python -m runtime.worker JOB.json`` under mpiexec.

It says that it lives before it loads what it needs. The job file says what to do; rank 0 writes
the result beside it. A rank that fails says why, and writes it to ``error.json.RANK`` beside the
job, where the disk has room; then the whole run is aborted, so that no rank is left waiting.
"""

import contextlib
import faulthandler
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hwprofiles.errors import ForeplanError, RecordError
from hwprofiles.garbage import collect_seldom
from hwprofiles.identity import Identity, blas_facts
from runtime.context import launch_context
from runtime.files import replace_whole
from runtime.voice import Voice, tell_parent
from runtime.watch import ERROR, RESULT, hold_alive

GRACE_S = 1.0
"""Between seeing that a peer is gone and ending the run."""


def pin(cores: list[int], rank: int) -> None:
    """Keep this process on one core, where the system can.

    The one of its rank; without a list of cores, as many hosts have lists of their own, the one of
    its place among the ranks of its host.
    """
    if not cores:
        from hwprofiles.local import local_facts

        cores = list(local_facts().cpus)
        rank = launch_context(os.environ).local_rank
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores[rank % len(cores)]})


def check_identity(expected: dict[str, Any]) -> None:
    """Refuse to run when the op costs were measured with another BLAS than this worker has."""
    if not expected:
        return
    from runtime.backends import backend

    identity, blas = Identity.from_dict(expected), blas_facts()
    wanted = (identity.blas_library, identity.blas_version, identity.blas_architecture)
    got = (blas.library, blas.version, blas.architecture)
    if wanted != got or blas.threads != 1:
        raise RecordError(
            f"worker: op costs were measured with BLAS {' '.join(wanted)} on 1 thread, this worker"
            f" has {' '.join(got)} on {blas.threads}; run `foreplan hw calibrate` and plan again"
        )
    found = backend(identity.backend).library
    if found != identity.backend_library:
        raise RecordError(
            f"worker: op costs were measured with backend {identity.backend!r} on"
            f" {identity.backend_library}, this worker has {found}; run `foreplan hw calibrate"
            f" --backend {identity.backend}` and plan again"
        )


def run(job: dict[str, Any], comm: Any, folder: Path, voice: Voice) -> object:
    """Do the job; return this rank's result, which only rank 0 has."""
    from runtime.backends import backend
    from runtime.patience import Patient

    if backend(job.get("backend", "numpy")).is_host:
        pin(job["cores"], comm.rank)
        if 0 < len(job["cores"]) < comm.size:
            comm = Patient(comm)
    check_identity(job["identity"])
    if job["kind"] == "calibrate":
        from runtime.calibrate import calibrate_ranks

        return calibrate_ranks(job, comm, folder, voice)
    if job["kind"] == "greet":
        from runtime.health import greet

        return greet(comm)
    from runtime.train import train_ranks

    return train_ranks(job, comm, voice)


def fault_of(error: BaseException, rank: int) -> tuple[str, str]:
    """Return the class of an error, ``bug`` for one that is ours, and its text."""
    from mpi4py import MPI

    if isinstance(error, ForeplanError):
        return type(error).__name__, str(error)
    if isinstance(error, MPI.Exception) and error.Get_error_class() == MPI.ERR_OTHER:
        # reading from a process that has died; a fault of ours has a class of its own
        why = " ".join(str(error).split())
        return (
            "WorkerLost",
            f"rank {rank}: another worker went away in the middle of a message ({why})",
        )
    return "bug", traceback.format_exc()


def main() -> None:
    """Run this rank; turn any exception into an abort of all ranks."""
    faulthandler.enable()  # a crash in a library says where
    collect_seldom()
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())
    rank = launch_context(os.environ).rank
    hold_alive(path.parent, rank)
    voice = Voice(rank, tell_parent)
    voice.start(job["beat_s"])
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        why = " ".join(str(error).split())
        text = f"mpi4py: expected it to load, but {why}; install the `mpich` package beside it"
        _report(path, "BackendUnavailable", text, rank)
        sys.exit(1)
    comm = MPI.COMM_WORLD
    try:
        from planner.jsonable import to_jsonable

        result = run(job, comm, path.parent, voice)
        if comm.rank == 0:
            replace_whole(path.with_name(RESULT), json.dumps(to_jsonable(result)).encode())
        comm.Barrier()  # who ends before the result is there is lost
    except BaseException as error:
        kind, text = fault_of(error, comm.rank)
        _report(path, kind, text, comm.rank)
        if kind == "WorkerLost":
            time.sleep(GRACE_S)  # so that the one who died first is seen to be the first
        comm.Abort(1)
    voice.stop()
    MPI.Finalize()


def _report(path: Path, kind: str, text: str, rank: int) -> None:
    """Tell the parent what went wrong, and write it where the disk has room."""
    fault = {"kind": kind, "text": text, "rank": rank}
    tell_parent({"fault": fault})
    with contextlib.suppress(OSError):
        replace_whole(path.with_name(f"{ERROR}.{rank}"), json.dumps(fault).encode())


if __name__ == "__main__":
    main()
