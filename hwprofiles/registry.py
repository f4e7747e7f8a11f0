"""Plug-ins by file stem: to add one, add a file. Names are listed without importing anything."""

from difflib import get_close_matches
from importlib import resources

from hwprofiles.errors import ForeplanError, ProfileError


def names(package: str, suffix: str = ".py") -> list[str]:
    """Return the stems of the public files of ``package`` with ``suffix``, sorted."""
    entries = (entry.name for entry in resources.files(package).iterdir())
    stems = (name.removesuffix(suffix) for name in entries if name.endswith(suffix))
    return sorted(stem for stem in stems if not stem.startswith("_") and stem != "base")


def lookup(
    kind: str,
    name: str,
    known: list[str],
    *,
    error: type[ForeplanError] = ProfileError,
    listing: str = "",
) -> str:
    """Return ``name`` if it is known; else raise ``error`` naming the nearest known ones.

    ``listing`` is the command that names all of them, where they are too many for a sentence.
    """
    if name in known:
        return name
    near = get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    every = f"{len(known)} are known, `{listing}` names them" if listing else ""
    raise error(f"{kind} {name!r}: unknown; {hint}{every or 'known: ' + ', '.join(known)}")
