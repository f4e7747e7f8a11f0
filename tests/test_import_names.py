"""The generic names ``sim``, ``planner``, ... mean this project's packages, wherever one stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ["foreplan", "hwprofiles", "planner", "reports", "runtime", "sim"]


def found_from(folder, code):
    """Run ``code`` in a fresh process that has no path of its own to the project."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


@pytest.mark.parametrize("where", ["elsewhere", "/"])
def test_names_are_ours_from_another_folder(where, tmp_path):
    folder = tmp_path if where == "elsewhere" else Path(where)
    code = (
        "import importlib, json;"
        f"print(json.dumps([importlib.import_module(n).__file__ for n in {PACKAGES}]))"
    )
    assert [Path(file) for file in found_from(folder, code)] == [
        ROOT / name / "__init__.py" for name in PACKAGES
    ]


def test_importing_the_door_loads_no_command_and_no_library(tmp_path):
    code = "import foreplan, json, sys; print(json.dumps([m for m in sys.modules]))"
    heavy = {"numpy", "pandas", "pydantic", "matplotlib", "scipy", "typer", "foreplan.api"}
    assert heavy.isdisjoint(found_from(tmp_path, code))


def test_the_public_functions_are_loaded_when_they_are_asked_for(tmp_path):
    code = (
        "import foreplan, json;"
        "print(json.dumps([n for n in foreplan.__all__ if callable(getattr(foreplan, n))]))"
    )
    assert {"plan", "execute", "report"} <= set(found_from(tmp_path, code))


def test_a_function_that_is_not_there_is_an_attribute_error(tmp_path):
    code = "import foreplan, json; print(json.dumps(hasattr(foreplan, 'simulate_everything')))"
    assert found_from(tmp_path, code) is False
