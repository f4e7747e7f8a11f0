"""Who started this process, told from the variables that launchers set."""

import pytest

from hwprofiles.errors import PlanError
from runtime.context import LaunchContext, launch_context

MPICH = {"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500",
}
ALLOCATION = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
SRUN = ALLOCATION | {
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "1",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("alone", 0, 1, 0, True)),
        (MPICH, ("mpiexec", 3, 4, 1, False)),
        (MPICH | {"MPI_LOCALNRANKS": "4"}, ("mpiexec", 3, 4, 1, True)),
        (OPEN_MPI, ("mpiexec", 1, 2, 1, True)),
        (TORCHRUN, ("torchrun", 5, 8, 1, False)),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "8"}, ("torchrun", 5, 8, 1, True)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, ("torchrun", 1, 2, 1, True)),
        (SRUN, ("slurm", 2, 4, 2, True)),
        (SRUN | {"SLURM_STEP_NUM_NODES": "2"}, ("slurm", 2, 4, 2, False)),
        (SRUN | MPICH, ("mpiexec", 3, 4, 1, False)),
        (SRUN | TORCHRUN, ("torchrun", 5, 8, 1, False)),
        (ALLOCATION, ("alone", 0, 1, 0, True)),
        ({"RANK": "1"}, ("alone", 0, 1, 0, True)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, ("alone", 0, 1, 0, True)),
    ],
)
def test_the_launcher_is_told_from_its_variables(environ, expected):
    launcher, rank, size, local_rank, is_one_host = expected
    assert launch_context(environ) == LaunchContext(
        launcher=launcher, rank=rank, size=size, local_rank=local_rank, is_one_host=is_one_host
    )


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"RANK": "one", "WORLD_SIZE": "2"}, r"^RANK: expected a whole number.*'one'; unset"),
        ({"PMI_RANK": "0", "PMI_SIZE": ""}, r"^PMI_SIZE: expected a whole number.*''"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, r"^RANK: expected 0 to WORLD_SIZE - 1 = 1, got 2"),
        (SRUN | {"SLURM_LOCALID": "-1"}, r"^SLURM_LOCALID: expected a whole number"),
    ],
)
def test_variables_that_cannot_be_are_named(environ, says):
    with pytest.raises(PlanError, match=says):
        launch_context(environ)
