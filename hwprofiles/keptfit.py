"""Fitted curves kept in a file: a fit takes seconds, and the same samples give the same curves.

The file names what its curves follow from, so it is never stale: the samples, the law of the fit
and the versions of the libraries that it is worked out with. One that says anything else, or that
cannot be read, is fitted anew and written over.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata, resources
from operator import attrgetter
from pathlib import Path

from hwprofiles.calibration import OpSample
from hwprofiles.device import OpCurve
from hwprofiles.fit import fit_curves
from hwprofiles.grade import Grade

_fitted_to = attrgetter("signature", "op_class", "dtype", "flop", "moved_bytes", "median_s")

LAW = ("fit.py", "roofline.py", "keptfit.py")
"""Modules that a curve follows from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFit:
    """The curves of one identity, in a file of their own."""

    path: Path

    def curves(self, samples: Iterable[OpSample]) -> dict[str, OpCurve]:
        """Return ``fit_curves(samples)``: from the file if it is of these, else fitted and kept."""
        ordered = sorted(samples, key=lambda s: s.signature)
        follows_from = _follows_from(ordered)
        kept = self._read(follows_from)
        if kept is None:
            kept = fit_curves(ordered)
            self._write(follows_from, kept)
        return kept

    def _read(self, follows_from: str) -> dict[str, OpCurve] | None:
        """Return the curves of the file, None where it has none of these samples."""
        try:
            found = json.loads(self.path.read_text())
            if found["follows_from"] != follows_from:
                return None
            return {name: _curve(**fields) for name, fields in found["curves"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def _write(self, follows_from: str, curves: dict[str, OpCurve]) -> None:
        """Take the file's name with a whole one; in a folder of others' nothing is kept."""
        rows = {name: asdict(curve) for name, curve in curves.items()}
        try:
            with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=".fit-") as folder:
                whole = Path(folder) / self.path.name
                whole.write_text(json.dumps({"follows_from": follows_from, "curves": rows}))
                whole.replace(self.path)
        except OSError:
            return


def _curve(
    flop_per_s: float, bytes_per_s: float, overhead_s: float, grade: int, source: str, hidden: bool
) -> OpCurve:
    return OpCurve(
        flop_per_s=float(flop_per_s),
        bytes_per_s=float(bytes_per_s),
        overhead_s=float(overhead_s),
        grade=Grade(grade),
        source=str(source),
        hidden=bool(hidden),
    )


def _follows_from(samples: Iterable[OpSample]) -> str:
    """Return a hash of all that the curves depend on."""
    digest = hashlib.sha256(_law_sha256().encode())
    for sample in samples:
        digest.update(repr(_fitted_to(sample)).encode())
    return digest.hexdigest()


@cache
def _law_sha256() -> str:
    """Return a hash of how curves are fitted."""
    digest = hashlib.sha256()
    for name in LAW:
        digest.update(resources.files("hwprofiles").joinpath(name).read_bytes())
    for library in ("numpy", "scipy"):
        digest.update(metadata.version(library).encode())
    return digest.hexdigest()
