"""Cells, tables and lines of the catalogue's page."""

from collections.abc import Iterable, Sequence

from hwprofiles.facts import Sourced


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table; the first column is text, the others are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def aliases(names: Sequence[str]) -> str:
    """Return the other names of a part as a sentence."""
    return "Also " + ", ".join(f"`{name}`" for name in names) + "." if names else ""


def doubt(block: Sourced | None) -> str:
    """Return the mark of a cell whose source is weak."""
    return "?" if block is not None and block.confidence == "low" else ""


def number(value: float | None) -> str:
    """Return a number for a cell, empty where it is not known."""
    return "" if value is None else f"{value:.6g}" if value < 1 else f"{value:.5g}"


def one_line(text: str) -> str:
    """Return a note without its line ends."""
    return " ".join(text.split())
