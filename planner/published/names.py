"""What published tables call things: ``names.toml``, read once."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def names() -> Mapping[str, Any]:
    """Return the content of ``names.toml``."""
    return tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))
