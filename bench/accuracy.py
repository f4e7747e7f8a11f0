"""Run the accuracy protocol on this machine and write bench/results and docs/accuracy.md.

``make accuracy`` on a quiet machine; about three minutes. Two checks: ``lenet-5`` with its own ops
measured, and ``mlp`` priced from curves fitted to ops of other shapes.
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "accuracy.md"


def say(text: str) -> None:
    """Print what is under way."""
    print(text, file=sys.stderr, flush=True)


def check(model: str, name: str, *, fitted: bool) -> None:
    """Calibrate, plan, execute with ``--check``, and keep the measurement."""
    import foreplan
    from planner.plan import Training
    from planner.records import write_record

    training = Training(batch=64)
    say(f"{name}: calibrating")
    foreplan.calibrate(model=None if fitted else model, training=training)
    plans = foreplan.plan(model, "local", training, fixed={"workers": 2})
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "plan.json"
        write_record(path, plans)
        measured = foreplan.execute(
            path,
            check=True,
            keep_costs=fitted,
            steps=300,
            output=Path(scratch) / "measurement.json",
            say=say,
        )
    write_record(RESULTS / f"{name}.json", measured)
    say(f"{name}: error {measured.error_frac:+.1%}")


def main() -> None:
    """Run both checks in a store of their own, then write the page."""
    from planner.measurement import Measurement
    from planner.records import read_record, write_text
    from reports.accuracy import accuracy_page

    for model, name, fitted in (
        ("mlp", "mlp-2-workers-fitted", True),
        ("lenet-5", "lenet-5-2-workers", False),
    ):
        with tempfile.TemporaryDirectory() as home:
            os.environ["FOREPLAN_HOME"] = home
            import foreplan

            foreplan.write_digits()
            check(model, name, fitted=fitted)
    files = sorted(RESULTS.glob("*.json"))
    results = {f.name: read_record(f, Measurement, "a measurement file") for f in files}
    PAGE.parent.mkdir(exist_ok=True)
    write_text(PAGE, accuracy_page(results))


if __name__ == "__main__":
    main()
