"""What foreplan's own files are like: the home folder, the op store, the record files."""

import os
import tempfile
from pathlib import Path

from foreplan.datasets import DIGITS
from foreplan.machines import Local, data_folder
from hwprofiles.errors import ForeplanError
from hwprofiles.opstore import home_folder
from runtime.health import Finding, machine_findings
from runtime.records import RecordFile


def findings() -> list[Finding]:
    """Return everything that was looked at, in the order in which a run needs it."""
    return [*machine_findings(os.environ), _home(), _store(), *_records()]


def _home() -> Finding:
    """Try to write where foreplan keeps its files."""
    home = home_folder(os.environ)
    there = next(path for path in (home, *home.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(
            name="home",
            verdict="warn",
            found=f"{home}: cannot be written ({error.strerror})",
            fix="plans work, calibrating does not: set FOREPLAN_HOME to a folder of yours",
        )
    return Finding(name="home", verdict="ok", found=f"{home}, yours to write")


def _store() -> Finding:
    """Look for the calibrations of this machine."""
    try:
        local = Local.here()
        path = local.store.path
        workers = [
            w for w in range(1, local.facts.physical_cores + 1) if local.calibration(w) is not None
        ]
    except ForeplanError as error:
        text, _, fix = str(error).rpartition("; ")
        return Finding(name="op store", verdict="fail", found=text, fix=fix)
    if not workers:
        return Finding(
            name="op store",
            verdict="warn",
            found=f"{path}: nothing measured on this machine with these kernels",
            fix="run `foreplan hw calibrate`; until then there is no cluster 'local'",
        )
    counts = ", ".join(map(str, workers))
    return Finding(name="op store", verdict="ok", found=f"{path}, measured for {counts} workers")


def _records() -> list[Finding]:
    """Look at the digits, and at all other record files in the folder."""
    folder = data_folder(None)
    paths = [*(folder / name for name in DIGITS), *sorted(folder.glob("*.rec"))]
    return [_record(path) for path in dict.fromkeys(paths)]


def _record(path: Path) -> Finding:
    if not path.exists():
        return Finding(
            name="records",
            verdict="warn",
            found=f"{path}: not there",
            fix="run `foreplan data digits`",
        )
    try:
        with RecordFile(path) as file:
            file.verify()
            return Finding(name="records", verdict="ok", found=f"{path}, {file.count:,} records")
    except ForeplanError as error:
        text, _, fix = str(error).rpartition("; ")
        return Finding(name="records", verdict="fail", found=text, fix=fix)
