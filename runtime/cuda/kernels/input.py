"""What an input pipeline has decoded, from the host to the device; as ``runtime.kernels.input``."""

from typing import Any

from runtime.cuda.engine import engine


def copy(*arrays: Any) -> None:
    """Copy the first half of ``arrays``, of the host, into the second, of the device."""
    half = len(arrays) // 2
    for source, target in zip(arrays[:half], arrays[half:], strict=True):
        engine().bring(source, target)
