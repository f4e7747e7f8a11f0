"""The sections of a page, in order: each turns cases into words, tables and figures."""

from collections.abc import Callable
from dataclasses import dataclass

from reports import answers, evidence, inputs, measured, opening, origins, resources
from reports.case import Cases
from reports.parts import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A section's place in the page."""

    key: str
    title: str
    build: Callable[[Cases], Section]


ENTRIES = tuple(
    Entry(key=key, title=title, build=build)
    for key, title, build in (
        ("overview", "Side by side", opening.overview),
        ("question", "The question", answers.question),
        ("answer", "The answer", answers.answer),
        ("verdict", "Measured against predicted", measured.verdict),
        ("certificate", "Why nothing else is faster", answers.certificate),
        ("candidates", "The best plans", answers.candidates),
        ("phases", "Where the time goes", evidence.phases),
        ("timeline", "One step, task by task", evidence.timeline),
        ("input", "Where the samples come from", inputs.pipeline),
        ("links", "Use of the links", resources.links),
        ("memory", "Memory over one step", resources.memory),
        ("scaling", "More workers, fewer workers", evidence.scales),
        ("split", "Where the error comes from", measured.split),
        ("ops", "Every op", measured.ops),
        ("training", "Training", measured.training),
        ("sentinels", "Did the machine hold still?", measured.sentinels),
        ("grades", "How the prediction is known", origins.grades),
        ("assumptions", "Assumed, and not modelled", origins.assumptions),
        ("environment", "Environment and identity", origins.environment),
        ("reproduction", "Do it again", origins.reproduction),
        ("glossary", "Words", origins.glossary),
    )
)


def ordered(cases: Cases) -> tuple[Entry, ...]:
    """Return the sections in the order of the page: what was not measured or fed comes late."""
    late = set()
    if not any(case.measured for case in cases):
        late.add("verdict")
        if not any(case.subject.prediction.input for case in cases):
            late.add("input")
    behind = next(place for place, entry in enumerate(ENTRIES) if entry.key == "grades")
    return (
        *(entry for entry in ENTRIES[:behind] if entry.key not in late),
        *(entry for entry in ENTRIES if entry.key in late),
        *ENTRIES[behind:],
    )
