"""`make gpu-bundle`: a folder with the project and its wheels for a machine without a network.

    python bench/gpu_bundle.py FOLDER [--python 3.12] [--most-mb 64]

CuPy, PyTorch, NumPy, SciPy, Numba, pandas and Matplotlib are left to the machine's own image, which
has a CUDA toolkit fitting its driver. There: `bash FOLDER/run.sh`, three times if it is stopped.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = ("foreplan", "hwprofiles", "sim", "planner", "runtime", "reports", "bench", "tests")
WHEELS = (
    "annotated-types",
    "execnet>=2.1,<3",
    "hypothesis>=6.120,<7",
    "iniconfig",
    "ml-dtypes>=0.5,<0.8",
    "networkx>=3.4,<4",
    "nvidia-cudnn-frontend>=1.23,<1.24",
    "pluggy",
    "psutil>=6,<8",
    "pydantic>=2.10,<3",
    "pygments",
    "pytest>=8.3,<10",
    "pytest-xdist>=3.6,<4",
    "simpy>=4.1,<5",
    "sortedcontainers",
    "threadpoolctl>=3.5,<4",
    "typer>=0.29,<0.30",
    "typing-extensions",
    "typing-inspection",
)
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64")
PLATFORMS += ("manylinux2014_x86_64", "manylinux_2_12_x86_64", "manylinux2010_x86_64")
RUN = """#!/bin/bash
# Runs `make gpu-check` here, without a network; start it again when it exits with 75.
set -e
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
if [ ! -e "$here/site/done" ]; then
  "$python" -m pip install -q --no-index --no-deps --target "$here/site" "$here"/wheels/*.whl
  touch "$here/site/done"
fi
cd "$here/project"
PYTHONPATH="$here/project:$here/site" exec "$python" bench/gpu_check.py --state "$here/state" "$@"
"""


def main() -> int:
    """Build the folder, and refuse one that is too large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--most-mb", type=float, default=64)
    options = parser.parse_args()
    folder: Path = options.folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    _project(folder / "project")
    _wheels(folder / "wheels", options.python)
    (folder / "run.sh").write_text(RUN)
    size_mb = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    print(f"{folder}: {size_mb:.1f} MB, {len(list((folder / 'wheels').iterdir()))} wheels")
    if size_mb > options.most_mb:
        print(f"{folder}: expected at most {options.most_mb} MB", file=sys.stderr)
        return 2
    return 0


def _project(place: Path) -> None:
    leave = shutil.ignore_patterns("__pycache__", "examples", "benchmarks", "cross", "*.pyc")
    for name in PROJECT:
        shutil.copytree(ROOT / name, place / name, ignore=leave)
    for name in ("pyproject.toml", "Makefile", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / name)
    (place / "docs").mkdir()


def _wheels(place: Path, python: str) -> None:
    """Download wheels; a package and its compiled part must be of one release."""
    where = [f"--platform={platform}" for platform in PLATFORMS]
    common = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:"]
    common += [f"--python-version={python}", "--implementation=cp", *where, "-d", str(place)]
    subprocess.run([*common, "--no-deps", *WHEELS], check=True)
    pydantic = next(place.glob("pydantic-*.whl")).name.split("-")[1]
    core = _core_of(place, pydantic)
    subprocess.run([*common, "--no-deps", f"pydantic-core=={core}"], check=True)


def _core_of(place: Path, pydantic: str) -> str:
    """Return the release of pydantic-core that a release of pydantic names."""
    from zipfile import ZipFile

    with ZipFile(next(place.glob("pydantic-*.whl"))) as wheel:
        lines = wheel.read(f"pydantic-{pydantic}.dist-info/METADATA").decode().splitlines()
    needs = next(line for line in lines if line.startswith("Requires-Dist: pydantic-core"))
    return needs.partition("==")[2].strip()


if __name__ == "__main__":
    sys.exit(main())
