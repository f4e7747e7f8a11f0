"""Several trainings on the same workers, one after the other: starting them takes the longest.

``python -m tests.cross.trainings FOLDER`` under mpiexec does the jobs of ``jobs.json`` in it, each
as a worker would, and rank 0 writes ``answers.json``.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

from hwprofiles.identity import worker_environment
from runtime.launch import mpiexec

ROOT = Path(__file__).parents[2]


def train_all(jobs, workers, folder, timeout_s=100):
    """Do the jobs on so many workers; return what rank 0 has of each."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [mpiexec(), "-n", str(workers), sys.executable, "-m", "tests.cross.trainings"]
    environment = worker_environment(os.environ)
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        [*command, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return json.loads((folder / "answers.json").read_text())


def main(folder):
    """Do the jobs on this rank."""
    from mpi4py import MPI

    from runtime.train import train_ranks
    from runtime.voice import Voice
    from runtime.worker import pin

    comm, jobs = MPI.COMM_WORLD, json.loads((folder / "jobs.json").read_text())
    try:
        pin([0, 1], comm.rank)
        voice = Voice(comm.rank, lambda what: None)
        answers = [train_ranks(job, comm, voice) for job in jobs]
        if comm.rank == 0:
            (folder / "answers.json").write_text(json.dumps(answers))
    except BaseException:
        traceback.print_exc()
        comm.Abort(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
