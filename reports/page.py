"""The page of one plan, or of several side by side: a self-contained HTML file and its twin."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from planner.records import write_text
from reports.case import Cases
from reports.opening import headline, lead, question, title
from reports.sections import ENTRIES
from reports.tables import escape_markdown

Progress = Callable[[int, int, str], None]


def write_report(
    cases: Cases, output: Path, progress: Progress = lambda done, total, text: None
) -> tuple[Path, Path]:
    """Write ``x.html`` and ``x.md`` with the same facts, each whole or not at all.

    Parameters
    ----------
    cases : tuple of Case
        The plans, in the order in which they stand side by side; the others are compared with the
        first.
    output : Path
        The page; any other suffix than ``.html`` is replaced.
    progress : callable
        Told (done, total, what is next) between the parts that take long.

    Returns
    -------
    tuple of Path
        The HTML page and the Markdown twin.

    Raises
    ------
    RecordError
        When the folder cannot be written.
    """
    html, markdown = render(cases, progress)
    paths = output.with_suffix(".html"), output.with_suffix(".md")
    for path, text in zip(paths, (html, markdown), strict=True):
        write_text(path, text)
    return paths


def render(cases: Cases, progress: Progress = lambda done, total, text: None) -> tuple[str, str]:
    """Return the page as HTML and as Markdown; equal records give equal bytes."""
    total = 2 * len(cases) + 1
    for place, case in enumerate(cases):  # simulated once, here, and shared by the sections
        progress(2 * place, total, f"simulating {case.subject.label}")
        case.replay  # noqa: B018
        progress(2 * place + 1, total, f"{case.subject.label} on other numbers of workers")
        case.curve  # noqa: B018
    progress(total - 1, total, "drawing")
    sections = [(entry, entry.build(cases)) for entry in ENTRIES]
    context = {
        "cases": cases,
        "title": title(cases),
        "question": question(cases),
        "lead": lead(cases),
        "headline": headline(cases),
        "sections": [(entry, blocks) for entry, blocks in sections if blocks],
    }
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"drawn": Markup, "md": escape_markdown}
    html, markdown = (
        environment.get_template(name).render(context) for name in ("page.html.j2", "page.md.j2")
    )
    return html, markdown
