"""`make gpu-check`: the CUDA backend on the GPU at hand, measured, predicted, beside PyTorch.

    python bench/gpu_check.py [--rehearse] [--minutes 8.5] [--state DIR] [--only KEY ...]

Every item runs in a process of its own and is kept in the state folder when it is done; started
again, the script goes on with what is missing. It stops before an item that may not end in time and
exits with 75, so that three runs of nine minutes, or one of half an hour, do all of it; 0 says that
all is done, 5 that an item failed. Results: bench/results/gpu-NAME.json, a section of
docs/accuracy.md, and the same as gpu.md in the state folder; of a rehearsal, on NumPy at toy sizes,
in the state folder alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpu_cases import GPU, REHEARSAL, profile_of

ROOT = Path(__file__).parent.parent
AGAIN, FAILED = 75, 5
MOST_ITEM_S = 180
"""An item that takes longer is ended, and counts as failed."""
FIRST_GUESS_S = 60
"""What an item is taken to last before any has run."""


def main() -> int:
    """Do what is left, as far as the time allows."""
    options = _options()
    folder = options.state or ROOT / ("gpu-rehearsal" if options.rehearse else "gpu-state")
    folder.mkdir(parents=True, exist_ok=True)
    if options.child:
        return _child(options.child, options.rehearse, folder)
    end = time.monotonic() + 60 * options.minutes
    cases = REHEARSAL if options.rehearse else GPU
    items = ["facts", "contract", *(case.key for case in cases)]
    items = [item for item in items if not options.only or item in options.only or item == "facts"]
    took = [FIRST_GUESS_S if not options.rehearse else 5]
    for number, item in enumerate(items):
        if _done(folder, item) is not None:
            continue
        if time.monotonic() + max(took) > end:
            say(f"{number} of {len(items)} items done; start again to go on")
            return AGAIN
        say(f"[{number + 1}/{len(items)}] {item}")
        start = time.monotonic()
        _run(item, options, folder, min(MOST_ITEM_S, end - start + 30))
        took.append(time.monotonic() - start)
    return _finish(items, options, folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rehearse", action="store_true", help="NumPy, toy sizes, no GPU")
    parser.add_argument("--minutes", type=float, default=8.5, help="stop before that")
    parser.add_argument("--state", type=Path, help="folder of what is done")
    parser.add_argument("--only", nargs="*", default=[], help="items to run")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def say(text: str) -> None:
    """Print what is under way."""
    print(text, file=sys.stderr, flush=True)


def _place(folder: Path, item: str) -> Path:
    return folder / f"{item.replace('/', '_').replace(':', '-')}.json"


def _done(folder: Path, item: str) -> Any:
    """Return what an item has left, or None; a half-written file counts as none."""
    try:
        found = json.loads(_place(folder, item).read_text())
    except (OSError, ValueError):
        return None
    return None if "fault" in found else found


def _keep(folder: Path, item: str, found: Any) -> None:
    """Write whole or not at all."""
    place = _place(folder, item)
    fresh = place.with_suffix(".part")
    fresh.write_text(json.dumps(found, indent=1))
    fresh.replace(place)


def _run(item: str, options: argparse.Namespace, folder: Path, limit_s: float) -> None:
    """Do one item in a process of its own; a fault is kept, and tried again by the next run."""
    command = [sys.executable, str(Path(__file__)), "--child", item, "--state", str(folder)]
    command += ["--rehearse"] * options.rehearse
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if options.rehearse:
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        ran = subprocess.run(
            command, env=environment, timeout=limit_s, capture_output=True, text=True, check=False
        )
        fault = f"exit {ran.returncode}: {ran.stderr[-1500:]}" if ran.returncode else ""
    except subprocess.TimeoutExpired:
        fault = f"took longer than {limit_s:.0f} s"
    if fault:
        say(f"  failed: {fault.strip().splitlines()[-1][:300]}")
        _keep(folder, item, {"fault": fault})


def _child(item: str, rehearse: bool, folder: Path) -> int:
    """Do one item here."""
    if item == "facts":
        found = _facts(rehearse)
    elif item == "contract":
        found = _contract(rehearse)
    else:
        found = _measured(item, rehearse, folder)
    _keep(folder, item, found)
    return 0


def _facts(rehearse: bool) -> dict[str, Any]:
    """Return what the measurements rest on."""
    import platform

    found: dict[str, Any] = {"python": platform.python_version(), "rehearsal": rehearse}
    if rehearse:
        import numpy as np
        import psutil

        from hwprofiles.identity import cpu_model

        memory_bytes = int(psutil.virtual_memory().total)
        found |= {"name": cpu_model(), "numpy": np.__version__, "memory_bytes": memory_bytes}
        return found | {"profile": "", "system": ""}
    from runtime.cuda.backend import sources_sha256, versions
    from runtime.cuda.engine import engine

    found |= versions()
    name = found["name"]
    profile, system = profile_of(name)
    notes = dict(engine().notes)
    return found | {
        "profile": profile,
        "system": system,
        "sources_sha256": sources_sha256(),
        "notes": notes,
    }


def _contract(rehearse: bool) -> dict[str, Any]:
    """Run the contract tests of the kernels: all of them on a GPU, none may be skipped there."""
    command = [sys.executable, "-m", "pytest", "-q", "-W", "default"]
    command += ["tests/runtime/test_cuda_kernels.py", "-k", "host" if rehearse else "cupy"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    closing = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ""
    if ran.returncode:
        failed = [line for line in ran.stdout.splitlines() if line.startswith("FAILED")]
        return {"passed": False, "closing": closing, "failed": failed}
    return {"passed": "skipped" not in closing or rehearse, "closing": closing}


def _measured(item: str, rehearse: bool, folder: Path) -> Any:
    """Measure one case; ops that an earlier case has timed are taken from it."""
    from gpu_measure import host_device, measure

    cases = REHEARSAL if rehearse else GPU
    case = next(case for case in cases if case.key == item)
    facts = _done(folder, "facts")
    if facts is None:
        sys.exit("the facts of the device are missing: it must have failed before")
    if rehearse:
        device = host_device()
    else:
        from runtime.cuda.device import CudaDevice

        device = CudaDevice()
    known: dict[str, Any] = {}
    for other in cases:
        known |= (_done(folder, other.key) or {}).get("ops", {})
    found = measure(case, device, facts, folder, known)
    if not rehearse:
        from runtime.cuda.engine import engine

        found |= {"plans": dict(engine().plans), "notes": dict(engine().notes)}
    return found | {"case": asdict(case)}


def _finish(items: list[str], options: argparse.Namespace, folder: Path) -> int:
    """Predict what was measured, write results and table."""
    from gpu_page import results

    from reports.gpus import gpu_section

    cases = [case for case in (REHEARSAL if options.rehearse else GPU) if case.key in items]
    found = results(
        _done(folder, "facts") or {},
        _done(folder, "contract") or {"passed": False, "closing": "did not run"},
        {case: _done(folder, case.key) for case in cases},
    )
    name = "-".join(found["facts"].get("name", "unknown").replace("(R)", "").split())
    place = folder if options.rehearse else ROOT / "bench" / "results"
    place.mkdir(parents=True, exist_ok=True)
    record, page = place / f"gpu-{name}.json", folder / "gpu.md"
    record.write_text(json.dumps(found, indent=1) + "\n")
    page.write_text(gpu_section([found]))
    say(f"wrote {record} and {page}; `python bench/published.py --page` puts it on the page")
    missing = [item for item in items if _done(folder, item) is None]
    for item in missing:
        say(f"failed: {item}; see {_place(folder, item)}")
    for line in found["verdicts"]:
        say(line)
    return FAILED if missing or not found["contract"]["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
