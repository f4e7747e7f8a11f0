"""By whom this process was started: what the variables of launchers say."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwprofiles.errors import PlanError

VARIABLES = {
    "mpiexec": (
        ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ),
    "torchrun": (("RANK", "WORLD_SIZE", "LOCAL_RANK"),),
    "slurm": (("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),),
}
"""Variables of rank, number of processes and place on the host, by launcher; the first that are set
count. A Slurm allocation without ``srun`` has no step: there, foreplan starts the workers."""
LOCAL_SIZES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchContext:
    """The launcher around this process; ``alone`` where there is none."""

    launcher: str
    """``mpiexec``, ``torchrun``, ``slurm`` or ``alone``."""
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Place among the processes of this host."""
    is_one_host: bool = True


def launch_context(environ: Mapping[str, str]) -> LaunchContext:
    """Return who started this process, from its environment alone.

    A launcher of one process is none: a shell under ``srun --pty`` is such a one.

    Raises
    ------
    PlanError
        When a variable of a launcher is not a whole number, or rank and size do not go together.
    """
    for launcher, families in VARIABLES.items():
        for family in families:
            rank_name, size_name, local_name = family
            if rank_name not in environ or size_name not in environ:
                continue
            rank, size = _number(environ, rank_name), _number(environ, size_name)
            if not 0 <= rank < size:
                raise PlanError(
                    f"{rank_name}: expected 0 to {size_name} - 1 = {size - 1}, got {rank}; unset"
                    " both, or start all processes with one launcher"
                )
            if size == 1:
                return LaunchContext(launcher="alone")
            return LaunchContext(
                launcher=launcher,
                rank=rank,
                size=size,
                local_rank=_number(environ, local_name) if local_name in environ else rank,
                is_one_host=_is_one_host(environ, size),
            )
    return LaunchContext(launcher="alone")


def _is_one_host(environ: Mapping[str, str], size: int) -> bool:
    here = [_number(environ, name) for name in LOCAL_SIZES if name in environ]
    nodes = environ.get("SLURM_STEP_NUM_NODES", "1")
    return nodes == "1" and all(count >= size for count in here)


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ[name]
    if not text.isdecimal():
        raise PlanError(
            f"{name}: expected a whole number, as launchers set it, got {text!r}; unset it"
        )
    return int(text)
