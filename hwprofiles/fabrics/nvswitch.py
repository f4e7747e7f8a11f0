"""NVSwitch: every device joined to all switch chips of its domain, drawn as one switch.

A domain is a server of 8 (DGX A100, H100, B200), two baseboards of 8 (DGX-2), or a rack of 72
(NVL72), in which a host is only a part of the domain.
"""

from collections.abc import Iterator

from hwprofiles.fabrics.base import Wire, star
from hwprofiles.facts import Text


def build(ends: int, *, link: Text) -> Iterator[Wire]:
    """Join every device to the switch; ``link`` is all of a device's links together.

    Notes
    -----
    ASSUMES: a transfer is striped over the chips, as the hardware does, so that they are one
    switch without blocking: bisection is half the devices times ``link``.
    """
    return star(ends, link, "nvswitch")
