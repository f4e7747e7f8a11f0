"""Imports point one way, late ones included, and each library is known where it is needed only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "hwprofiles": set(),
    "sim": {"hwprofiles"},
    "planner": {"hwprofiles", "sim"},
    "runtime": {"hwprofiles", "sim", "planner"},
    "reports": {"hwprofiles", "sim", "planner"},
    "foreplan": {"hwprofiles", "sim", "planner", "runtime", "reports"},
}
NEVER = {"tests", "bench"}
"""Folders that no package imports."""
OWNERS = {
    "cudnn": {"runtime/cuda/backend.py", "runtime/cuda/graphs.py"},
    "cupy": {
        "runtime/cuda/backend.py",
        "runtime/cuda/cupy_engine.py",
        "runtime/cuda/device.py",
    },
    "cupy_backends": {"runtime/cuda/cupy_engine.py"},
    "jinja2": {"reports"},
    "matplotlib": {"reports"},
    "mpi4py": {"runtime"},
    "networkx": {"hwprofiles/cluster.py"},
    "onnx": {"planner/onnxfile.py"},
    "ml_dtypes": {"runtime/arena.py", "runtime/cuda/cupy_engine.py"},
    "llvmlite": {
        "runtime/backends/_gemm.py",
        "runtime/kernels/_vectors.py",
        "sim/arrays/native.py",
    },
    "numba": {
        "runtime/backends/_gemm.py",
        "runtime/kernels/_vectors.py",
        "sim/arrays/compiled.py",
    },
    "pandas": {"reports"},
    "psutil": {"hwprofiles/local.py"},
    "pydantic": {
        "hwprofiles/clusterfacts.py",
        "hwprofiles/facts.py",
        "hwprofiles/parts.py",
        "planner/records.py",
        "runtime/record_header.py",
        "runtime/records.py",
        "sim/graphfile.py",
    },
    "rich": {"foreplan"},
    "scipy": {
        "hwprofiles/fit.py",
        "planner/published/fit.py",
        "planner/published/collective_fit.py",
    },
    "simpy": {"sim/central.py", "sim/simpy_engine.py", "sim/updates.py"},
    "sklearn": {"runtime/digits.py"},
    "threadpoolctl": {"hwprofiles/identity.py", "foreplan/op_rates.py"},
    "torch": {"foreplan/op_rates.py", "runtime/backends/onednn.py"},
    "typer": {"foreplan"},
}
"""Packages or files that may import a library."""
LOADERS = {"import_module", "__import__"}
"""Functions whose first argument names a module."""
FILES = sorted(
    path.relative_to(ROOT) for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")
)


def imported(source: str) -> set[str]:
    """Top-level names that a source imports anywhere: late, for types only, or by a string."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in LOADERS and node.args:
                found.add(_text(node.args[0]))
    return {name.partition(".")[0] or "." for name in found if name}


def _text(argument: ast.expr) -> str:
    """The text of a string, or of the part of an f-string before its first value."""
    if isinstance(argument, ast.JoinedStr):
        argument = argument.values[0]
    return str(argument.value) if isinstance(argument, ast.Constant) else ""


def wrong_imports(path: Path, source: str) -> list[str]:
    """What ``path`` imports and must not."""
    package, names = path.parts[0], imported(source)
    ours = names & (MAY_IMPORT.keys() | NEVER | {"."}) - {package}
    upward = ours - MAY_IMPORT[package]
    foreign = {
        name for name in names & OWNERS.keys() if not OWNERS[name] & {package, path.as_posix()}
    }
    return sorted(upward | foreign)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_imports_only_what_its_layer_may(path):
    assert wrong_imports(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("sim/engine.py", "import planner.plan", ["planner"]),
        ("sim/engine.py", "def f():\n    from planner import plan", ["planner"]),
        ("hwprofiles/fit.py", "import hwprofiles.units, foreplan as f", ["foreplan"]),
        ("planner/lower.py", "if TYPE_CHECKING:\n    from reports.rows import Row", ["reports"]),
        ("planner/lower.py", "import_module('runtime.kernels')", ["runtime"]),
        ("planner/lower.py", "importlib.import_module(f'runtime.{x}')", ["runtime"]),
        ("runtime/train.py", "from reports import page", ["reports"]),
        ("reports/page.py", "from runtime.records import RecordFile", ["runtime"]),
        ("reports/page.py", "from . import rows", ["."]),
        ("foreplan/api.py", "from tests.oracles import validate_timeline", ["tests"]),
        ("planner/cost.py", "import pandas as pd", ["pandas"]),
        ("hwprofiles/link.py", "from scipy.optimize import curve_fit", ["scipy"]),
        ("runtime/kernels/add.py", "try:\n    import cupy\nexcept ImportError: pass", ["cupy"]),
    ],
)
def test_a_wrong_import_is_seen(path, source, wrong):
    assert wrong_imports(Path(path), source) == wrong


def test_an_import_to_the_left_is_right():
    source = "from sim.taskgraph import TaskGraph\nimport planner.plan\nimport mpi4py"
    assert wrong_imports(Path("runtime/train.py"), source) == []


def test_all_packages_and_all_owners_are_there():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == MAY_IMPORT.keys()
    files = {owner for owners in OWNERS.values() for owner in owners if owner.endswith(".py")}
    unused = {
        file
        for name, owners in OWNERS.items()
        for file in owners & files
        if name not in imported((ROOT / file).read_text())
    }
    assert unused == set(), "these no longer import what they are listed for"
