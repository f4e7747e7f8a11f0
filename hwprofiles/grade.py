"""Grades: how a number is known, strongest first."""

from enum import IntEnum


class Grade(IntEnum):
    """Evidence behind a number; a larger value is weaker evidence."""

    MEASURED = 0
    """Timed on this device, this very op."""
    FITTED = 1
    """From a curve fitted to measurements of this device, or measured in another context."""
    DATASHEET = 2
    """From the vendor's figures alone."""

    @property
    def label(self) -> str:
        """Return the lower-case name used in files and reports."""
        return self.name.lower()
