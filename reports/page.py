"""The page of a plan and its measurement: one self-contained HTML file and its Markdown twin."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from planner.measurement import Measurement
from planner.records import PlanFile, write_text
from reports.answers import headline, sentence
from reports.case import Case
from reports.sections import ENTRIES
from reports.tables import escape_markdown


def write_report(plans: PlanFile, measured: Measurement | None, output: Path) -> tuple[Path, Path]:
    """Write ``x.html`` and ``x.md`` with the same facts, each whole or not at all.

    Parameters
    ----------
    plans : PlanFile
        The question and its ranked answer.
    measured : Measurement or None
        The run of one of these plans; without it the page says how to get one.
    output : Path
        The page; any other suffix than ``.html`` is replaced.

    Returns
    -------
    tuple of Path
        The HTML page and the Markdown twin.

    Raises
    ------
    RecordError
        When the measurement is of another model or training, or the folder cannot be written.
    """
    html, markdown = render(plans, measured)
    paths = output.with_suffix(".html"), output.with_suffix(".md")
    for path, text in zip(paths, (html, markdown), strict=True):
        write_text(path, text)
    return paths


def render(plans: PlanFile, measured: Measurement | None) -> tuple[str, str]:
    """Return the page as HTML and as Markdown; equal records give equal bytes."""
    case = Case(plans=plans, measured=measured)
    context = {
        "case": case,
        "title": f"{plans.model} on {plans.cluster}, batch {plans.training.batch}",
        "sentence": sentence(case),
        "headline": headline(case),
        "sections": [(entry, entry.build(case)) for entry in ENTRIES],
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
