"""Run the accuracy protocol on this machine and write bench/results and docs/accuracy.md.

``make accuracy`` on a quiet machine; about five minutes. Two checks of steps: ``lenet-5`` with its
own ops measured, and ``mlp`` priced from curves fitted to ops of other shapes. Four of input
pipelines, ``bench/input_cases.py``. Names as arguments run those alone. A check that stays void,
because the machine was busy, replaces nothing and exits with 5.
"""

import os
import sys
import tempfile
from pathlib import Path

from input_cases import CASES, case
from published import write_page

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
CHECKS = {"mlp-2-workers-fitted": ("mlp", True), "lenet-5-2-workers": ("lenet-5", False)}
"""By file name: the model, and whether its ops are priced from fitted curves."""


def say(text: str) -> None:
    """Print what is under way."""
    print(text, file=sys.stderr, flush=True)


def check(name: str) -> bool:
    """Calibrate, plan, execute with ``--check``; keep the measurement if it is valid."""
    import foreplan
    from planner.plan import Training
    from planner.records import write_record

    say(f"{name}: calibrating")
    with tempfile.TemporaryDirectory() as scratch:
        data, fitted = None, False
        if name in CASES:
            plans, data = case(name, Path(scratch), Path(os.environ["FOREPLAN_HOME"]) / "data")
        else:
            model, fitted = CHECKS[name]
            training = Training(batch=64)
            foreplan.calibrate(model=None if fitted else model, training=training)
            plans = foreplan.plan(model, "local", training, fixed={"workers": 2})
        path = Path(scratch) / "plan.json"
        write_record(path, plans)
        measured = foreplan.execute(
            path,
            data=data,
            check=True,
            keep_costs=fitted,
            steps=300,
            output=Path(scratch) / "measurement.json",
            say=say,
        )
    say(f"{name}: error {measured.error_frac:+.1%}")
    if measured.check is None or not measured.check.valid:
        say(f"{name}: void, not kept; try again on a quieter machine")
        return False
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_record(RESULTS / f"{name}.json", measured)
    return True


def main(names: list[str]) -> int:
    """Run the named checks, each in a store of its own, then write the page."""
    checks = [*CHECKS, *CASES]
    unknown = set(names) - set(checks)
    if unknown:
        say(f"accuracy: no check {unknown.pop()!r}; there are {', '.join(checks)}")
        return 2
    kept = []
    for name in names or checks:
        with tempfile.TemporaryDirectory() as home:
            os.environ["FOREPLAN_HOME"] = home
            import foreplan

            foreplan.write_digits()
            kept.append(check(name))
    write_page()
    return 0 if all(kept) else 5


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
