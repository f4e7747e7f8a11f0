"""How long ``foreplan plan`` takes as a person sees it: whole processes, one after another."""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foreplan.machines import load_machine
from planner.model import load_model, model_names

CLUSTERS = ("dgx-1-v100", "big-basin-p100", "tpu-v2-board", "dgx-1-v100:16")
SAMPLES = 32
"""Of each device: the norm group of the convnets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTime:
    """One question, and how long its answer took."""

    model: str
    cluster: str
    batch: int
    wall_s: float
    """Of the whole process: the median of runs."""
    cpu_s: float
    simulated: int
    """Plans simulated; 0 where nothing fits."""
    gap_frac: float
    """How much faster a plan that was not simulated may be."""

    def row(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def image_models() -> list[str]:
    """Return the built-in models of images."""
    return [name for name in model_names() if len(load_model(name).record_shape) == 3]


def plan_times(models: Sequence[str], clusters: Sequence[str], repeats: int) -> Iterator[PlanTime]:
    """Plan every model on every cluster, with ``SAMPLES`` samples a device."""
    for model in models:
        load_model(model)
    for cluster in clusters:
        machine = load_machine(cluster)
        devices = machine.devices
        for model in models:
            yield _timed(model, cluster, SAMPLES * devices, repeats)


def _timed(model: str, cluster: str, batch: int, repeats: int) -> PlanTime:
    walls, cpus = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        asked = ("plan", model, cluster, "--batch", str(batch), "--quiet", "-o", str(file))
        command = [sys.executable, "-m", "foreplan.cli", *asked]
        for _ in range(repeats):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, check=False, capture_output=True)
            walls.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        proof = json.loads(file.read_text())["certificate"] if file.exists() else {}
    return PlanTime(
        model=model,
        cluster=cluster,
        batch=batch,
        wall_s=statistics.median(walls),
        cpu_s=statistics.median(cpus),
        simulated=proof.get("simulated", 0),
        gap_frac=proof.get("gap_frac", 0.0),
    )
