"""Identity: what must be equal for a measured time to hold, and how a worker process is started.

The environment of a worker is stated, never inherited: thread counts and the kernels OpenBLAS
picks change rates up to twofold, so what is left to a user's shell would be a hidden input.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hwprofiles.errors import BackendUnavailable, RecordError

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""All 1 in a worker: a worker is one lane."""
RATE_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Kept as inherited and part of the identity: they choose OpenBLAS kernels, up to 2x in rate."""
POLLS_BEFORE_YIELD = "MPIR_CVAR_POLLS_BEFORE_YIELD"
"""MPICH: give the core away after so many polls; 1 where ranks share cores with helpers."""
PASSED = (
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
    "VIRTUAL_ENV",
    "TMPDIR",
    "LANG",
    "FOREPLAN_HOME",
    "NUMBA_CACHE_DIR",
)
"""Passed through where set; they say where things are, not how fast."""
PASSED_PREFIXES = ("XDG_", "CUDA_", "CUPY_", "NCCL_", "NVIDIA_", "MPI4PY_")
"""So are these: which GPUs and which MPI there are and how they are reached is for their libraries
to read."""
PROBE_TIMEOUT_S = 60
_PROBE = """
import json, numpy, threadpoolctl
pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
print(json.dumps({"numpy": numpy.__version__, "pools": pools}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlasFacts:
    """The BLAS behind NumPy, as threadpoolctl reports it; ``unknown`` where it sees none."""

    library: str = "unknown"
    version: str = "unknown"
    architecture: str = "unknown"
    threads: int = 1

    @classmethod
    def from_pools(cls, pools: Sequence[Mapping[str, Any]]) -> "BlasFacts":
        """Pick NumPy's pool: SciPy brings a BLAS of its own."""
        blas = [pool for pool in pools if pool["user_api"] == "blas"]
        if not blas:
            return cls()
        pool = next((p for p in blas if "numpy" in str(p.get("filepath"))), blas[0])
        return cls(
            library=str(pool.get("internal_api") or "unknown"),
            version=str(pool.get("version") or "unknown"),
            architecture=str(pool.get("architecture") or "unknown"),
            threads=int(pool["num_threads"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The device and software a measured time belongs to; another identity is another key."""

    device: str
    """CPU model as the system names it."""
    lanes: int
    """Lanes in use at once: they share clocks, caches and memory."""
    blas_library: str
    blas_version: str
    blas_architecture: str
    """The kernel family the BLAS picked, e.g. ``SkylakeX``."""
    blas_threads: int
    kernels_sha256: str
    """Hash of the source of the kernels that were timed."""
    backend: str = "numpy"
    """Whose kernels they are."""
    backend_library: str = ""
    """What it computes with beside NumPy and the BLAS above, and its version."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables of the workers that change rates, sorted by name."""
    context: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Kernel release and NumPy version, sorted: no part of the key, but a change demotes."""

    @property
    def key(self) -> str:
        """SHA-256 of the identity without its context, hexadecimal."""
        facts = self.to_dict()
        del facts["context"]
        if self.backend == "numpy":  # as before there were others: a key that moves orphans a store
            del facts["backend"], facts["backend_library"]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def differs(self, other: "Identity") -> list[str]:
        """Return one sentence for every fact that is another one in ``other``; context apart."""
        mine, theirs = self._flat(), other._flat()
        return [
            f"{name}: {mine.get(name, 'not set')} here, {theirs.get(name, 'not set')} there"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]

    def _flat(self) -> dict[str, str]:
        plain = {f.name for f in fields(self)} - {"environment", "context"}
        facts = {name.replace("_", " "): str(getattr(self, name)) for name in plain}
        return facts | dict(self.environment)

    def to_dict(self) -> dict[str, Any]:
        """Return the identity as JSON types."""
        facts = {f.name: getattr(self, f.name) for f in fields(self)}
        return facts | {"environment": dict(self.environment), "context": dict(self.context)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Identity":
        """Return the identity that :meth:`to_dict` wrote.

        Raises
        ------
        RecordError
            A field is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        # files from before there were backends are NumPy's
        data = {"backend": "numpy", "backend_library": "", **data}
        if data.keys() != known:
            odd = ", ".join(sorted(data.keys() ^ known))
            raise RecordError(
                f"identity: expected the fields {', '.join(sorted(known))}; odd: {odd}"
            )
        pairs = {
            name: tuple(sorted((str(key), str(value)) for key, value in data[name].items()))
            for name in ("environment", "context")
        }
        return cls(**{**data, **pairs})


def cpu_model() -> str:
    """Return the CPU's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return model or platform.processor() or platform.machine() or "unknown CPU"


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a worker process, from that of its parent.

    One BLAS thread, a yielding MPI, fixed hashes; OpenBLAS kernel choices as inherited; paths as
    inherited; nothing else.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in (*PASSED, *RATE_VARIABLES) or name.startswith(PASSED_PREFIXES)
    }
    stated = dict.fromkeys(THREAD_VARIABLES, "1") | {POLLS_BEFORE_YIELD: "1", "PYTHONHASHSEED": "0"}
    return kept | stated


def blas_facts() -> BlasFacts:
    """Return the facts of the BLAS that NumPy uses in this process."""
    import numpy  # noqa: F401 - a BLAS is seen only once it is loaded
    import threadpoolctl

    return BlasFacts.from_pools(threadpoolctl.threadpool_info())


def probe_identity(
    lanes: int,
    kernels_sha256: str,
    environ: Mapping[str, str] | None = None,
    backend: tuple[str, str] = ("numpy", ""),
) -> Identity:
    """Return the identity that workers on this machine have, asked of a short-lived worker.

    So it does not matter which thread variables this process was started with. About 0.2 s.

    Parameters
    ----------
    lanes : int
        Workers that will compute at once.
    kernels_sha256 : str
        Hash of the source of the kernels.
    environ : mapping of str to str, optional
        The parent's environment; that of this process by default.
    backend : tuple of str
        Name of the backend whose kernels they are, and its library.

    Raises
    ------
    BackendUnavailable
        When NumPy or threadpoolctl cannot be loaded by a worker.
    """
    workers = worker_environment(os.environ if environ is None else environ)
    command = [sys.executable, "-P", "-c", _PROBE]
    try:
        answer = subprocess.run(
            command,
            env=workers,
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_TIMEOUT_S,
        )
        facts = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        last = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise BackendUnavailable(
            f"worker process: expected NumPy and threadpoolctl to load with {sys.executable}, got:"
            f" {last}"
        ) from error
    blas = BlasFacts.from_pools(facts["pools"])
    rates = (*THREAD_VARIABLES, *RATE_VARIABLES, POLLS_BEFORE_YIELD)
    return Identity(
        device=cpu_model(),
        lanes=lanes,
        blas_library=blas.library,
        blas_version=blas.version,
        blas_architecture=blas.architecture,
        blas_threads=blas.threads,
        kernels_sha256=kernels_sha256,
        backend=backend[0],
        backend_library=backend[1],
        environment=tuple(sorted((k, v) for k, v in workers.items() if k in rates)),
        context=(("kernel", platform.release()), ("numpy", str(facts["numpy"]))),
    )
