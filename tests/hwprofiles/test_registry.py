"""Registry: names are file stems, listed without an import; a wrong name gets its neighbours."""

import subprocess
import sys

import pytest

from hwprofiles.errors import PlanError, ProfileError
from hwprofiles.registry import lookup, names


def test_names_are_the_public_file_stems_in_order():
    found = names("hwprofiles.data.links", ".toml")
    assert found == sorted(found)
    assert {"ici-tpu-v2", "nvlink-2-x1", "nvlink-2-x2", "qpi-9.6-x2"} <= set(found)
    assert "__init__" not in names("hwprofiles")


def test_an_unknown_name_gets_the_nearest_and_all_known_names():
    with pytest.raises(ProfileError, match=r"device 'v10': unknown; did you mean v100\? known: a,"):
        lookup("device", "v10", ["a", "v100"])


def test_an_unknown_name_can_be_another_error():
    with pytest.raises(PlanError, match="schedule 'x': unknown; known: gpipe"):
        lookup("schedule", "x", ["gpipe"], error=PlanError)


def test_listing_names_imports_nothing_heavy():
    code = (
        "import sys, hwprofiles, hwprofiles.registry as r; r.names('hwprofiles.data.devices');"
        "print(sorted({'pydantic', 'networkx', 'scipy', 'psutil'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
