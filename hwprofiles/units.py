"""Units: the only module with conversion factors.

Inside the code every quantity is SI (seconds, bytes, FLOP, bytes per second) and simulated time is
an integer count of picoseconds. Vendor units live in TOML keys and in the formatters below.
1 KB = 1000 B and 1 KiB = 1024 B; both are parsed, neither is taken for the other.
"""

import math
import re
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import UnitError

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12
KIB, MIB, GIB = 2**10, 2**20, 2**30
US, MS = 1e-6, 1e-3
GFLOP, TFLOP = 1e9, 1e12
PS_PER_S = 10**12

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Q = TypeVar("Q", float, Floats)
"""A quantity: one value, or one value per candidate."""

_BYTE_UNITS = {"": 1, "B": 1, "KB": KB, "MB": MB, "GB": GB, "TB": TB}
_BYTE_UNITS |= {"KIB": KIB, "MIB": MIB, "GIB": GIB}


@overload
def to_ps(seconds: float) -> int: ...
@overload
def to_ps(seconds: Floats) -> Ints: ...
def to_ps(seconds: float | Floats) -> int | Ints:
    """Round a duration up to whole picoseconds, the one rounding between a law and the simulator.

    >>> to_ps(1.5e-12)
    2
    """
    ps = np.ceil(np.asarray(seconds, dtype=np.float64) * PS_PER_S)
    return int(ps) if ps.ndim == 0 else ps.astype(np.int64)


def parse_bytes(text: str) -> int:
    """Read ``"64KiB"``, ``"1.5 GB"`` or ``"4096"`` as bytes.

    >>> parse_bytes("64KiB"), parse_bytes("64KB")
    (65536, 64000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _BYTE_UNITS:
        raise UnitError(f"size {text!r}: expected a number with B, KB, KiB, MB, MiB, GB or GiB")
    return round(float(match[1]) * _BYTE_UNITS[match[2].upper()])


_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_BITS = {"k": KB, "M": MB, "G": GB, "T": TB}


def parse_s(text: str) -> float:
    """Read ``"1.8us"``, ``"3 ms"`` or ``"0.1s"`` as seconds.

    >>> parse_s("3 ms")
    0.003
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|ms|us|ns)\s*", text)
    if match is None:
        raise UnitError(f"time {text!r}: expected a number with s, ms, us or ns")
    return float(match[1]) / _PER_S[match[2]]


def parse_bytes_per_s(text: str) -> float:
    """Read ``"25GB/s"`` or, with a small b for bits, ``"200Gb/s"`` as bytes per second.

    >>> parse_bytes_per_s("25 GB/s"), parse_bytes_per_s("200Gb/s")
    (25000000000.0, 25000000000.0)
    """
    if match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT])(?:b|bit)/s\s*", text):
        return float(match[1]) * _BITS[match[2]] / 8
    amount, slash, second = text.strip().rpartition("/")
    try:
        rate = parse_bytes(amount) if slash and second == "s" and amount[-1:].isalpha() else None
    except UnitError:
        rate = None
    if rate is None:
        raise UnitError(f"rate {text!r}: expected a number with MB/s, GB/s, GiB/s or (bits) Gb/s")
    return float(rate)


def _scaled(value: float, steps: list[tuple[float, str]], digits: int) -> str:
    """Format with the largest unit that leaves at least 1 after rounding."""
    rounded = float(f"{value:.{digits}g}")
    factor, unit = next((s for s in steps if abs(rounded) >= s[0]), steps[-1])
    scaled = rounded / factor
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(scaled) or 1)))
    text = f"{scaled:,.{decimals}f}"
    return f"{text.rstrip('0').rstrip('.') if decimals else text} {unit}"


def format_s(seconds: float, digits: int = 3) -> str:
    """Seconds as a person reads them.

    >>> format_s(0.00315)
    '3.15 ms'
    """
    if not seconds or abs(seconds) >= 1000:
        return f"{seconds:,.0f} s"
    return _scaled(seconds, [(1, "s"), (MS, "ms"), (US, "us"), (1e-9, "ns")], digits)


def format_bytes(count: float, digits: int = 3) -> str:
    """Bytes in decimal units.

    >>> format_bytes(246824)
    '247 kB'
    """
    return _scaled(count, [(TB, "TB"), (GB, "GB"), (MB, "MB"), (KB, "kB"), (1, "B")], digits)


def format_flop(count: float, digits: int = 3) -> str:
    """Floating-point operations in decimal units.

    >>> format_flop(4.16e5)
    '416 kFLOP'
    """
    steps = [(1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP")]
    return _scaled(count, [*steps, (1e3, "kFLOP"), (1, "FLOP")], digits)


def format_frac(fraction: float, digits: int = 1) -> str:
    """Return a fraction (0-1) in per cent.

    >>> format_frac(0.0312)
    '3.1 %'
    """
    return f"{100 * fraction:.{digits}f} %"
