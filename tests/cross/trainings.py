"""Many trainings on few processes, for starting these takes the longest.

``python -m tests.cross.trainings FOLDER`` under mpiexec does the shifts of ``shifts.json`` in it: a
shift is some of the processes and what they do together, one job after the other, each as workers
would. Shifts of other processes go on at the same time. The first of a shift writes its answers.
"""

import json
import os
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path

from hwprofiles.garbage import collect_seldom
from hwprofiles.identity import worker_environment
from runtime.launch import mpiexec

ROOT = Path(__file__).parents[2]


def train_all(shifts, processes, folder, timeout_s=300):
    """Do the shifts, each (ranks, jobs); return of each what its first worker has of its jobs."""
    (folder / "shifts.json").write_text(json.dumps(shifts))
    command = [mpiexec(), "-n", str(processes), sys.executable, "-m", "tests.cross.trainings"]
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
    return [json.loads((folder / f"answers-{i}.json").read_text()) for i in range(len(shifts))]


def main(folder):
    """Do this process's part."""
    from mpi4py import MPI

    from runtime import train
    from runtime.patience import Patient
    from runtime.voice import Voice
    from runtime.worker import pin

    collect_seldom()
    world = MPI.COMM_WORLD
    train.load_model = cache(train.load_model)  # jobs share models
    try:
        pin([0, 1], world.rank)
        for number, (ranks, jobs) in enumerate(json.loads((folder / "shifts.json").read_text())):
            if world.rank not in ranks:
                continue
            group = world.Create_group(world.group.Incl(ranks), number)
            comm = Patient(group)
            voice = Voice(comm.rank, lambda what: None)
            answers = [train.train_ranks(job, comm, voice) for job in jobs]
            if comm.rank == 0:
                (folder / f"answers-{number}.json").write_text(json.dumps(answers))
            group.Free()
        Patient(world).Barrier()  # MPI would poll for those that have more to do
    except BaseException:
        traceback.print_exc()
        world.Abort(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
