"""Tables of trainings on TPUs, in the columns and words of the others."""

from collections.abc import Mapping

CHIPS = "n_chips"
"""The column by which such a table is known."""


def in_usual_columns(line: Mapping[str, str]) -> dict[str, str]:
    """Return a row of a table of TPU trainings in the columns of ``rows.read_rows``.

    A chip is a device, and the chips of a slice are one node.
    """
    told = dict(line)
    chips = told.pop(CHIPS, "")
    told |= {"n_devices": chips, "devices_per_node": chips, "table": "tpu"}
    told["framework"] = f"TPU {told.get('framework', '')}"
    if not told.get("input_size") and told.get("seq_len"):
        told["input_size"] = f"seq {told['seq_len']}"
    whole, each = told.get("global_batch", ""), told.get("per_device_batch", "")
    divides = chips.isdigit() and whole.isdigit() and int(chips) and int(whole) % int(chips) == 0
    told["batch_per_device"] = str(int(whole) // int(chips)) if divides else each
    return told


def slice_of(chips: int, dimensions: int) -> str:
    """Return the shape of a slice with the sides most alike, each a power of two.

    >>> slice_of(256, 2), slice_of(64, 3), slice_of(32, 3)
    ('16x16', '4x4x4', '4x4x2')
    """
    power = chips.bit_length() - 1
    return "x".join(
        str(1 << (power // dimensions + (axis < power % dimensions))) for axis in range(dimensions)
    )
