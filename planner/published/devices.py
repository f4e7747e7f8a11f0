"""Which of our devices a table means, however it spells it.

A name is read as words: cut at blanks, hyphens and signs and where letters and digits meet, in
lower case, without those of vendors. So "Tesla V100-SXM2-16GB" is "v 100 sxm 2 16 gb". A rule of
``names.toml`` that is found in it counts first; else the longest name or alias of a shipped device
whose words stand in it, unless the word behind makes another device of it ("2080" before "ti").
"""

import re
from functools import cache

from hwprofiles.parts import part_aliases, part_names
from planner.published.names import names

SHORT = 3
"""Letters of a vendor's name that may as well be part of another word."""


def device_of(told: str) -> str | None:
    """Return the device that a table names, None where there is none of that name.

    >>> device_of("NVIDIA GeForce RTX2080Ti"), device_of("k80 (half)"), device_of("Xeon")
    ('rtx-2080-ti', 'k80-gk210', None)
    """
    words = _words(told)
    text = " ".join(words)
    for rule, device in names()["devices"]["rules"]:
        if re.search(rule, text):
            return str(device) or None
    for parts, device in _shipped():
        size = len(parts)
        for at in range(len(words) - size + 1):
            behind = words[at + size : at + size + 1]
            is_whole = not behind or behind[0] not in names()["devices"]["apart"]
            if words[at : at + size] == parts and is_whole:
                return device
    return None


@cache
def _shipped() -> tuple[tuple[list[str], str], ...]:
    """Return the words of every name and alias of a device, the longest first."""
    every = {name: name for name in part_names("device")} | dict(part_aliases("device"))
    found = ((_words(name), device) for name, device in every.items())
    return tuple(sorted(found, key=lambda pair: (-len(pair[0]), pair[1])))


def _words(text: str) -> list[str]:
    """Return the words of a name, without those of an instance that it is rented as.

    >>> _words("NVIDIA A100-SXM4-40GB"), _words("QuadroRTX8000")
    (['a', '100', 'sxm', '4', '40', 'gb'], ['rtx', '8000'])
    """
    rules = names()["devices"]
    bare = re.sub(rules["marks"], " ", text.lower())
    bare = re.sub(rules["instances"], "", bare).strip(" ()") or bare
    makers = "|".join(word for word in rules["vendors"] if len(word) > SHORT)
    words = re.findall(f"{makers}|[a-z]+|[0-9]+", bare)
    return [word for word in words if word not in rules["vendors"]]
