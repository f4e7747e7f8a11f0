"""What a plan makes of the fabric: every wire as wide and as warm as it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwprofiles.cluster import Cluster
from hwprofiles.fabrics.base import Node
from hwprofiles.link import Link
from hwprofiles.units import format_frac
from reports.canvas import AMBER, BLUE, GREY, ORANGE, PAPER, SKY, svg
from reports.fabric_figure import Line, Look, draw_cluster
from reports.fabric_layout import panels
from reports.fabric_panel import Panel
from reports.linkuse import LinkUse, drawn_links

STEPS = ((0.5, ORANGE), (0.2, AMBER), (0.05, BLUE), (0.0, SKY))
"""Colour of a use above each share."""
WIDEST_PT, LEAST_PT = 7.0, 1.0
MOST_NUMBERS = 24
"""Of a panel with more wires only the most used ones have their number."""
EXACT = 0.0995
"""Uses below have a decimal: the longest number then has four signs, and wires are close."""
UNUSED = {"color": GREY, "linewidth": 0.7, "linestyle": (0, (1, 2))}


def use_figure(cluster: Cluster, use: LinkUse, place: int = 0) -> str:
    """Return the parts of the fabric that the step uses, each wire with the busier direction.

    Width and colour have the same meaning in every picture, whatever the plan.
    """
    figure = draw_cluster(cluster, UseLook(cluster=cluster, use=use))
    return svg(figure, f"links{place}", "Use of every link of the fabric in one step")


@dataclass(frozen=True, kw_only=True)
class UseLook(Look):
    """Wires by their use."""

    cluster: Cluster
    use: LinkUse
    _used: dict[int, dict[frozenset[Node], float]] = field(default_factory=dict)

    def panels(self, cluster: Cluster) -> list[Panel]:
        """Return the parts in which anything is used."""
        parts = [part for part in panels(cluster) if max(self._of(part).values(), default=0.0)]
        return parts or panels(cluster)[:1]

    def line(self, panel: Panel, start: Node, end: Node | None, link: Link) -> Line:
        """Return a wire by the use of its busier direction; what a stub carries is not told."""
        del link
        used = self._of(panel)
        frac = used.get(frozenset((start, end)), 0.0) if end is not None else 0.0
        if not frac:
            return Line(style=UNUSED)
        is_told = len(used) <= MOST_NUMBERS or frac > 0.99 * max(used.values())
        return Line(
            style=_style(frac), text=format_frac(frac, int(frac < EXACT)) if is_told else ""
        )

    def legend(self, panel: Panel) -> list[tuple[dict[str, Any], str]]:
        """Return the steps of colour that occur in the panel."""
        used = self._of(panel).values()
        found: list[tuple[dict[str, Any], str]] = []
        above = 1.0
        for least, colour in STEPS:
            if any(least < frac <= above for frac in used):
                text = f"{100 * least:.0f} to {format_frac(above, 0)} of its bandwidth"
                found.append(({"color": colour, "linewidth": _width(above)}, text))
            above = least
        unused = [(UNUSED, "not used")] if any(not frac for frac in used) else []
        return [*found, *unused]

    def fill(self, kind: str) -> str:
        """Return the page's paper: a box must be read in light and in dark."""
        del kind
        return PAPER

    def _of(self, panel: Panel) -> Mapping[frozenset[Node], float]:
        """Return the use of each line of a panel, worked out once."""
        if id(panel) not in self._used:
            lines = drawn_links(self.cluster, panel)
            self._used[id(panel)] = {line: self.use.of(ids) for line, ids in lines.items()}
        return self._used[id(panel)]


def _style(frac: float) -> dict[str, Any]:
    colour = next(colour for least, colour in STEPS if frac > least)
    return {"color": colour, "linewidth": _width(frac), "solid_capstyle": "butt"}


def _width(frac: float) -> float:
    return LEAST_PT + (WIDEST_PT - LEAST_PT) * min(1.0, frac)
