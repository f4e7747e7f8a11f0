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
    EXTRAPOLATED = 3
    """What devices of another generation reach of their vendor's figures, taken over: of this one
    nobody has said it. Last in the order, for files keep these numbers."""

    @property
    def label(self) -> str:
        """Return the lower-case name used in files and reports."""
        return self.name.lower()
