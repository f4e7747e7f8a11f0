"""Fitted constants as the text of a TOML file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def toml_text(head: Sequence[str], tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return lines of comment, then a block ``[table.name]`` for each name of each table.

    >>> block = {"share": 0.5, "on": {"x": 1}}
    >>> print(toml_text(["By a command."], {"units": {"a": block}}), end="")
    # By a command.
    <BLANKLINE>
    [units.a]
    share = 0.5
    on = { x = 1 }
    """
    lines = [f"# {line}" for line in head]
    for kind, blocks in tables.items():
        for name, block in blocks.items():
            lines += ["", f"[{kind}.{name}]"]
            lines += [f"{key} = {_value(value)}" for key, value in block.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(v)}" for key, v in value.items()) + " }"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
