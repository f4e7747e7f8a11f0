"""One worker process: ``python -m runtime.worker JOB.json`` under mpiexec.

The job file says what to do; rank 0 writes the result beside it. A fault of the input is written to
``error.json`` beside the job, then the whole run is aborted, so that no rank is left waiting.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from hwprofiles.errors import ForeplanError, RecordError
from hwprofiles.identity import Identity, blas_facts


def pin(core: int) -> None:
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def check_identity(expected: dict[str, Any]) -> None:
    """Refuse to run when the op costs were measured with another BLAS than this worker has."""
    if not expected:
        return
    identity, blas = Identity.from_dict(expected), blas_facts()
    wanted = (identity.blas_library, identity.blas_version, identity.blas_architecture)
    got = (blas.library, blas.version, blas.architecture)
    if wanted != got or blas.threads != 1:
        raise RecordError(
            f"worker: op costs were measured with BLAS {' '.join(wanted)} on 1 thread, this worker"
            f" has {' '.join(got)} on {blas.threads}; run `foreplan hw calibrate` and plan again"
        )


def run(job: dict[str, Any], comm: Any, folder: Path) -> None:
    """Do the job; rank 0 writes ``result.json``."""
    from planner.jsonable import to_jsonable

    pin(job["cores"][comm.rank % len(job["cores"])])
    check_identity(job["identity"])
    result: object
    if job["kind"] == "calibrate":
        from runtime.calibrate import calibrate_ranks

        result = calibrate_ranks(job, comm, folder)
    else:
        from runtime.train import train_ranks

        result = train_ranks(job, comm)
    if comm.rank == 0:
        partial = folder / "result.json.part"
        partial.write_text(json.dumps(to_jsonable(result)))
        partial.replace(folder / "result.json")


def main() -> None:
    """Run this rank; turn any exception into an abort of all ranks."""
    path = Path(sys.argv[1])
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    try:
        run(json.loads(path.read_text()), comm, path.parent)
    except BaseException as error:
        if isinstance(error, ForeplanError):
            kind, text = type(error).__name__, str(error)
        elif isinstance(error, MPI.Exception) and error.Get_error_class() == MPI.ERR_OTHER:
            # reading from a process that has died; a fault of ours has a class of its own
            kind, why = "WorkerLost", " ".join(str(error).split())
            text = f"rank {comm.rank}: another worker went away in the middle of a message ({why})"
        else:
            kind, text = "bug", traceback.format_exc()
        fault = {"kind": kind, "text": text, "rank": comm.rank}
        partial = path.parent / f"error.json.{comm.rank}"  # ranks may fail at once: whole or none
        partial.write_text(json.dumps(fault))
        partial.replace(path.parent / "error.json")
        comm.Abort(1)
    MPI.Finalize()


if __name__ == "__main__":
    main()
