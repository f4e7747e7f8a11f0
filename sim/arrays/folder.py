"""Where compiled code is kept.

It is the first of these folders that can be written: ``$NUMBA_CACHE_DIR``,
``$FOREPLAN_HOME/numba``, ``$XDG_CACHE_HOME/foreplan/numba``, ``~/.cache/foreplan/numba``; in none
of them, every process compiles anew. Functions are compiled into each other, and a second checkout
of the same sources need not compile them again: the name of the folder is a hash of all of their
sources, and says it alone.
"""

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def cache_folder(*more: Path) -> Path | None:
    """Return the folder of this version's compiled code, made if need be."""
    sources = [*sorted(HERE.glob("*.py")), *sorted(HERE.parent.glob("*.py")), *more]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    for root in cache_roots(os.environ):
        folder = root / digest[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def cache_roots(environ: Mapping[str, str]) -> list[Path]:
    """Return where compiled code may be kept, best place first."""
    if stated := environ.get("NUMBA_CACHE_DIR"):
        return [Path(stated)]
    roots = [Path(home) / "numba" for home in [environ.get("FOREPLAN_HOME")] if home]
    if xdg := environ.get("XDG_CACHE_HOME"):
        roots.append(Path(xdg) / "foreplan" / "numba")
    return [*(root.expanduser() for root in roots), Path("~/.cache/foreplan/numba").expanduser()]
