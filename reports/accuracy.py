"""The accuracy page: committed checks and published runs, from the files in bench/results."""

from collections.abc import Mapping, Sequence
from typing import Any

from hwprofiles.units import format_frac, format_s
from planner.measurement import Measurement, Split, Verdict
from planner.published.record import PublishedRecord
from reports.gpus import gpu_section
from reports.published import published_parts


def accuracy_page(
    results: Mapping[str, Measurement],
    published: PublishedRecord,
    why: Mapping[str, str],
    gpus: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the page in Markdown; ``results`` by file name, those without a check left out.

    ``why`` explains the largest residuals of published rows, by ``case_id``; ``gpus`` are the
    records of `make gpu-check`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=False,  # Markdown for the repository, from files of its own
        undefined=StrictUndefined,
        keep_trailing_newline=False,
    )
    rows = [
        _row(name, m, m.check, m.split)
        for name, m in sorted(results.items())
        if m.check is not None and m.split is not None
    ]
    parts = published_parts(published, why)
    section = gpu_section(gpus) if gpus else ""
    return environment.get_template("accuracy.md.j2").render(
        rows=rows, published=parts, gpus=section
    )


def _row(name: str, m: Measurement, check: Verdict, split: Split) -> dict[str, str]:
    """Return the cells of one check."""
    facts = m.environment.get("identity", {})
    last = m.executions[-1]
    void = f", after {len(check.void_reasons)} void" if check.void_reasons else ""
    return {
        "file": name,
        "model": m.model,
        "plan": m.ranked.label,
        "grade": m.ranked.prediction.grade,
        "predicted": format_s(split.predicted_s, 4),
        "measured": format_s(m.step_s, 4),
        "least": format_s(min(e.step_s for e in m.executions), 4),
        "most": format_s(max(e.step_s for e in m.executions), 4),
        "error": f"{m.error_frac:+.1%}",
        "claim": format_frac(check.claim_frac, 0),
        "valid": ("yes" if check.valid else "no") + void,
        "op_costs": _signed(split.solo_s - split.predicted_s),
        "interference": _signed(split.traced_s - split.solo_s),
        "structure": _signed(split.measured_s - split.traced_s),
        "machine": (
            f"{facts.get('device', 'unknown device')}, {facts.get('lanes')} ranks, BLAS"
            f" {facts.get('blas_library')} {facts.get('blas_version')}"
            f" ({facts.get('blas_architecture')}, {facts.get('blas_threads')} thread), NumPy"
            f" {m.environment.get('numpy')}, Python {m.environment.get('python')}"
        ),
        "accuracy": format_frac(last.test_accuracy or 0.0),
        "training": format_s(last.training_s),
    }


def _signed(seconds: float) -> str:
    return f"{'+' if seconds >= 0 else ''}{format_s(seconds)}"
