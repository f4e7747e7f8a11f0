"""What a section is made of; the templates know nothing else."""

from dataclasses import dataclass

from reports.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure with its caption."""

    caption: str
    svg: str
    is_wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Paragraphs, then points, commands, figures and tables; any of them may be missing."""

    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the few numbers at the top of the page."""

    title: str
    value: str
    note: str = ""
