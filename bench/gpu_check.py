"""`make gpu-check`: the CUDA backend on the GPU at hand, measured, predicted, beside PyTorch.

    python bench/gpu_check.py [--rehearse] [--minutes 8.5] [--state DIR] [--only KEY ...]
                              [--measure-only | --predict-only]

Every item runs in a process of its own and is kept in the state folder when it is done; started
again, the script goes on with what is missing. It stops before an item that may not end in time and
exits with 75, so that three runs of nine minutes, or one of half an hour, do all of it; 0 says that
all is done, 5 that an item failed. Results: bench/results/gpu-NAME.json, a section of
docs/accuracy.md, and the same as gpu.md in the state folder; of a rehearsal, on NumPy at toy sizes,
in the state folder alone.

Predictions need no GPU. Where its time is dear, `--measure-only` ends when all is measured, with 0;
`--predict-only --state DIR` predicts and writes the results elsewhere, from the state folder
brought there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gpu_cases import GPU, REHEARSAL, profile_of
from gpu_items import Ahead, Item, environment, is_wanted, load

ROOT = Path(__file__).parent.parent
AGAIN, FAILED, BAD_INPUT = 75, 5, 2
FIRST_GUESS_S = 60
"""What an item is taken to last before any has run."""
MOST_TESTERS = 8


def main() -> int:
    """Do what is left, as far as the time allows."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    options = _options()
    usual = ROOT / ("gpu-rehearsal" if options.rehearse else "gpu-state")
    folder = (options.state or usual).absolute()
    if options.child:
        return _child(options.child, options.rehearse, folder)
    cases = REHEARSAL if options.rehearse else GPU
    items = ["facts", "contract", *(case.key for case in cases)]
    items = [item for item in items if not options.only or item in options.only or item == "facts"]
    if options.predict_only and _done(folder, "facts") is None:
        say(f"--state {folder}: expected what was measured, got no facts.json; name its folder")
        return BAD_INPUT
    if not options.predict_only and not _measure(items, options, folder):
        return AGAIN
    missing = [item for item in items if _done(folder, item) is None]
    for item in missing:
        place = _place(folder, item)
        say(f"failed: {item}; see {place}" if place.exists() else f"not measured: {item}")
    passed = options.measure_only or ("facts" not in missing and _finish(items, options, folder))
    return FAILED if missing or not passed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rehearse", action="store_true", help="NumPy, toy sizes, no GPU")
    parser.add_argument("--minutes", type=float, default=8.5, help="stop before that")
    parser.add_argument("--state", type=Path, help="folder of what is done")
    parser.add_argument("--item-s", type=float, default=180, help="end an item that takes longer")
    parser.add_argument("--only", nargs="*", default=[], help="items to run")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--measure-only", action="store_true", help="predict nothing")
    part.add_argument("--predict-only", action="store_true", help="from what was measured; no GPU")
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


def _measure(items: list[str], options: argparse.Namespace, folder: Path) -> bool:
    """Do the items that are missing; False where time ran out before the last.

    A fault is kept, and tried again by the next run; without the facts there is nothing to measure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    todo = [item for item in items if _done(folder, item) is None]
    first_s = 5 if options.rehearse else FIRST_GUESS_S
    took: list[float] = []
    around = environment(folder, one_thread=options.rehearse)

    def started(item: str) -> Item:
        command = [sys.executable, str(Path(__file__)), "--child", item, "--state", str(folder)]
        command += ["--rehearse"] * options.rehearse
        return Item(command, around, _place(folder, item).with_suffix(".err"))

    with Ahead(started) as ahead:
        for number, (item, then) in enumerate(zip_longest(todo, todo[1:], fillvalue="")):
            if time.monotonic() + max(took, default=min(first_s, options.item_s)) > end:
                say(f"{len(todo) - number} of {len(items)} items left; start again to go on")
                return False
            say(f"[{len(items) - len(todo) + number + 1}/{len(items)}] {item}")
            start = time.monotonic()
            fault = ahead.run(item, min(options.item_s, end - start + 30), then)
            took.append(time.monotonic() - start)
            if fault:
                say(f"  failed: {fault.strip().splitlines()[-1][:300]}")
                if item == "facts":
                    _keep(folder, item, {"fault": fault})
                    break
            if fault and _done(folder, item) is None:  # else all but PyTorch's part is there
                _keep(folder, item, {"fault": fault})
            else:
                say(f"  {_said(folder, item)}")
            left_s = (len(todo) - number - 1) * sum(took) / len(took)
            say(f"  took {took[-1]:.1f} s, about {timedelta(seconds=round(left_s))} left")
    return True


def _said(folder: Path, item: str) -> str:
    """Say in a line what an item has found."""
    from hwprofiles.units import format_s

    found = _done(folder, item) or {}
    if "step_s" not in found:
        return str(found.get("closing") or found.get("name", "nothing was kept"))
    torch = found["torch"] or {"skipped": "PyTorch is not asked"}
    theirs = f"PyTorch {format_s(torch['step_s'], 4)}" if "step_s" in torch else torch["skipped"]
    return f"step {format_s(found['step_s'], 4)}, {theirs[:80]}"


def _child(item: str, rehearse: bool, folder: Path) -> int:
    """Do one item here, once it is its turn."""
    if item not in ("facts", "contract"):
        load(on_gpu=not rehearse)
    if not is_wanted():
        return 0
    if item == "facts":
        found = _facts(rehearse)
    elif item == "contract":
        found = _contract(rehearse, folder)
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


def _contract(rehearse: bool, folder: Path) -> dict[str, Any]:
    """Run the contract tests of the kernels: all of them on a GPU, none may be skipped there."""
    command = [sys.executable, "-m", "pytest", "-q", "-W", "default"]
    command += ["tests/runtime/test_cuda_kernels.py", "-k", "host" if rehearse else "cupy"]
    if find_spec("xdist"):
        command += ["-n", str(min(MOST_TESTERS, len(os.sched_getaffinity(0))))]
    log = folder / "contract.txt"
    with log.open("w") as out:
        ran = subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False)
    lines = log.read_text().strip().splitlines() or [""]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {
        "passed": not ran.returncode and ("skipped" not in lines[-1] or rehearse),
        "closing": lines[-1],
        "failures": len(failed),
        "failed": failed,
    }


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

    def whole(found: dict[str, Any]) -> dict[str, Any]:
        if not rehearse:
            from runtime.cuda.engine import engine

            found = found | {"plans": dict(engine().plans), "notes": dict(engine().notes)}
        return found | {"case": asdict(case)}

    def keep(found: dict[str, Any]) -> None:
        _keep(folder, item, whole(found))

    return whole(measure(case, device, facts, folder, known, keep))


def _finish(items: list[str], options: argparse.Namespace, folder: Path) -> bool:
    """Predict what was measured, write results and table; return whether the kernels are right."""
    from gpu_page import results, unknown_ops

    from reports.gpus import gpu_section

    cases = [case for case in (REHEARSAL if options.rehearse else GPU) if case.key in items]
    for case in cases:
        lacking = unknown_ops(case, _done(folder, case.key))
        if lacking:
            say(
                f"{_place(folder, case.key)}: expected the ops that the plan has now, got none for"
                f" {lacking[0]}; it was measured by another version, so measure it again"
            )
            sys.exit(2)
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
    for line in found["verdicts"]:
        say(line)
    return bool(found["contract"]["passed"])


if __name__ == "__main__":
    sys.exit(main())
