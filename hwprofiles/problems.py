"""What is wrong with a file, in one sentence: key, expected, got."""

from collections.abc import Sequence
from typing import Any


class Faults(ValueError):
    """Several faults of one block, each a sentence that begins with its key."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = tuple(sentences)


def problem(detail: Any) -> str:
    """Return key, expected and got of one of pydantic's errors."""
    # A union names its members at the end of the place ("from.int"); a reader knows keys only.
    places = [p for p in detail["loc"] if p not in ("int", "str")]
    key = ".".join(map(str, places)) or "the file"
    if detail["type"] == "missing":
        return f"{key}: expected, but not there"
    if detail["type"] == "extra_forbidden":
        return f"{key}: not a key of this block"
    if detail["type"] == "value_error":
        if isinstance(faults := detail["ctx"]["error"], Faults):
            return "; ".join(f"{key}.{sentence}" for sentence in faults.sentences)
        return f"{key}: {detail['msg'].removeprefix('Value error, ')}"
    return f"{key}: {detail['msg'].removeprefix('Input ')}, got {detail['input']!r}"
