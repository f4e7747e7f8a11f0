"""Hold predictions against published runs: one assessment a row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hwprofiles.efficiency import Table, constants, generation_of
from hwprofiles.errors import ForeplanError
from hwprofiles.grade import Grade
from planner.published.cases import MANY, Case, express
from planner.published.names import Unsaid
from planner.published.predict import predicted_s
from planner.published.rows import Row
from planner.published.shift import case_family, is_seen
from planner.published.spread import class_of, shipped

SWEEP = ("model", "accelerator", "framework", "precision", "input_size", "input_data")
"""Rows of one source that agree in these are a sweep: only batch and devices differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """One published row, and what was predicted for it without looking."""

    case_id: str
    source: str
    table: str
    predicted: float | None
    """Seconds of what was timed; None where the row cannot be expressed."""
    published: float | None
    error: float | None
    """Predicted over published, less 1."""
    interval_s: tuple[float, float] | None
    """80 % interval of the prediction."""
    grade: str
    layout_stated: bool
    assumed: Mapping[str, Any]
    """What the row left unsaid, by column."""
    covered: bool
    flagged: bool
    in_scope: bool
    reason: str
    """Why it is not covered."""
    sweep: tuple[str, ...] = field(default=(), repr=False)
    device: str = ""
    generation: str = ""
    """Of the device; the grade says whether it has rows."""
    software: str = ""
    year: str = ""
    workers: int = 0
    batch: int = 0
    """Samples of a step, all workers together."""


def assess(
    rows: Sequence[Row],
    table: Table | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Assessed]:
    """Predict every row that can be expressed; ``table`` takes the place of shipped constants."""
    found: dict[int, Assessed] = {}
    by_model = sorted(range(len(rows)), key=lambda i: rows[i].told["model"])  # each is built once
    for i in by_model:
        progress(len(found), len(rows))
        found[i] = _assessed(rows[i], table or constants())
    return [found[i] for i in range(len(rows))]


def _assessed(row: Row, table: Table) -> Assessed:
    case: Case | None = None
    predicted = published = grade = None
    reason = ""
    try:
        case = express(row.told)
        published = row.step_s(case.training.batch)
        predicted = predicted_s(case, case.machine(table))
        grade = case.grade(table)
        if published is None:
            reason = row.misread or "no result is stated in a unit that is understood"
    except (Unsaid, ForeplanError) as why:
        reason = str(why)
    scope = in_scope(f"{row.told['model']} {case.model if case else ''}")
    if not scope:
        reason = "a model out of scope" + (f"; {reason}" if reason else "")
    both = predicted is not None and published is not None
    guessed = case.stages.guessed if case and case.stages else ()
    if guessed and not reason:
        reason = f"a layout that is not stated ({', '.join(guessed)})"
    return Assessed(
        case_id=row.case_id,
        source=row.source,
        table=row.told.get("table", "cnn"),
        predicted=predicted,
        published=published,
        error=predicted / published - 1 if predicted and published else None,
        interval_s=_interval(predicted, case, grade, table) if predicted and case else None,
        grade=grade.label if grade is not None and both else "",
        layout_stated=case is not None and not guessed,
        assumed=case.assumed if case else {},
        covered=both and not guessed,
        flagged=row.flagged,
        in_scope=scope,
        reason=reason,
        sweep=(row.source, *(row.told.get(key, "") for key in SWEEP)),
        device=case.device if case else "",
        generation=(generation_of(case.device, table) or "") if case else "",
        software=case.stack if case else "",
        year=row.told.get("year", ""),
        workers=case.plan.workers if case else 0,
        batch=case.training.batch if case else 0,
    )


def _interval(
    predicted: float, case: Case, grade: Grade | None, table: Table
) -> tuple[float, float]:
    kind = class_of(
        seen=is_seen(case.stack, table),
        fitted=grade is Grade.FITTED,
        many=case.plan.workers > MANY,
        shifted=case_family(case, table) in table.get("shifts", {}),
    )
    return shipped().interval_s(predicted, kind)


FAMILIES = (
    "alexnet", "overfeat", "vgg", "googlenet", "inception", "resnet", "resnext", "rn50", "densenet",
    "efficientnet", "mobilenet", "smallnet", "amoebanet", "u-net (", "senet", "squeezenet", "bert",
    "electra",
)  # fmt: skip
OTHERS = (
    "ssd", "rcnn", "r-cnn", "mask", "retina", "efficientdet", "rpn",
    "roberta", "albert", "distilbert", "deberta",
)  # fmt: skip
"""Detectors are built of the families in scope, and other encoders named after them; none is."""


def in_scope(model: str) -> bool:
    """Return whether a row is of image classification or of the BERT family."""
    name = model.lower()
    return any(part in name for part in FAMILIES) and not any(part in name for part in OTHERS)
