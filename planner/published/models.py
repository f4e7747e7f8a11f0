"""Which of our models a table means, at the tokens of its texts or the side of its images.

A name is read in lower case, without blanks and signs; then without what may stand at its ends:
who trained it, on what, in which phase (``names.toml``).
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from hwprofiles.errors import ModelError
from planner.model import load_model, model_names
from planner.published.names import NOTHING, Unsaid, names

LONG_TEXT = 512
"""Tokens of the texts that are padded most."""
PIXELS_APART = 4
"""What images of AlexNet, 224 or 227 a side, are apart: the same network, cut at another border."""
MARKS = 3
"""Marks that are taken off the ends of a name at most."""


def model_named(told: Mapping[str, str]) -> str:
    """Return the model of a row, with its size where that is not the model's own.

    Raises
    ------
    Unsaid
        When it is not built in, or not at that size.
    """
    framework, tokens = told.get("framework", ""), tokens_of(told)
    name = _named(told["model"], str(tokens or ""))
    for other in names()["variants"]:
        if re.search(other["frameworks"], framework):
            name = other["models"].get(name, name)
    if tokens:
        dropped = tokens == LONG_TEXT and re.search(names()["unpadded"]["frameworks"], framework)
        return f"{name.partition(':')[0]}:{tokens // 2 if dropped else tokens}"
    side = _side(told)
    return _at_side(name, side) if side else name


def is_sized(told: Mapping[str, str]) -> bool:
    """Say whether the size of a sample is understood, where one is stated."""
    stated = told.get("input_size", "").lower() not in NOTHING
    return not stated or bool(tokens_of(told) or _side(told))


def _side(told: Mapping[str, str]) -> int:
    """Return the side of square images, 0 where none is stated."""
    bare = re.sub("[ ()]|px|pixels", "", told.get("input_size", "").lower())
    size = re.sub("[,*\u00d7]", "x", bare)
    sides = re.fullmatch("(?:3x)?([0-9]+)(?:x([0-9]+))?(?:x3)?", size)
    return int(sides[1]) if sides and sides[2] in (None, sides[1]) else 0


def tokens_of(told: Mapping[str, str]) -> int:
    """Return the tokens of a text that a row states, 0 where it states none.

    >>> tokens_of({"input_size": "seq 128"}), tokens_of({"input_size": "224x224"})
    (128, 0)
    """
    found = re.match("(?i)seq[a-z_ ]*[=: ]*([0-9]+)|([0-9]+) tokens", told.get("input_size", ""))
    return int(found[1] or found[2]) if found else 0


def _named(shown: str, tokens: str) -> str:
    """Return the built-in model that a table calls ``shown``."""
    known = {_key(name): name for name in model_names()} | names()["models"]
    for bare in _readings(_key(shown)):
        for found in (f"{bare}:{tokens}", bare):
            if found in known:
                return str(known[found])
    raise Unsaid(f"model {shown!r} is not built in" if shown else "model is not stated")


def _readings(key: str) -> Iterator[str]:
    """Yield a name, then what it is without marks at its ends, the fewest first."""
    level = [key]
    for _ in range(MARKS + 1):
        yield from level
        ends = (("suffixes", "{}$"), ("prefixes", "^{}"))
        level = [rest for bare in level for end in ends for rest in _without(*end, bare)]


def _without(table: str, place: str, key: str) -> Iterator[str]:
    """Yield a name without what may stand at one of its ends."""
    rules = names()[table]
    for part in rules["drop"]:
        rest = re.sub(place.format(part), rules["put"].get(part, ""), key)
        if rest != key:
            yield rest


@cache
def _at_side(name: str, side: int) -> str:
    """Return the name of a network at a side; within a few pixels of its own it is itself."""
    try:
        if abs(load_model(name).input_shape[-1] - side) <= PIXELS_APART:
            return name
        return load_model(f"{name}:{side}").name
    except ModelError as error:
        raise Unsaid(str(error)) from error


def _key(name: str) -> str:
    return re.sub("[^a-z0-9=:]", "", name.lower())
