"""What published tables call things: ``names.toml``, read once."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


class Unsaid(Exception):
    """Why a row cannot be expressed; not an error of the user."""


@cache
def names() -> Mapping[str, Any]:
    """Return the content of ``names.toml``."""
    return tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))


def plain(text: str) -> str:
    """Return text in lower case, with one blank for hyphens, underscores and blanks.

    >>> plain("Parameter_Server (CPU)"), plain("AMP-FP16")
    ('parameter server (cpu)', 'amp fp16')
    """
    return re.sub("[ _-]+", " ", text.lower()).strip()
