"""The sections of a page, in order: each turns cases into words, tables and figures."""

from collections.abc import Callable
from dataclasses import dataclass

from reports import answers, evidence, inputs, measured, origins, overview, resources
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
        ("overview", "Side by side", overview.overview),
        ("answer", "The question and the plan", answers.answer),
        ("verdict", "Measured against predicted", measured.verdict),
        ("certificate", "Could another plan be better?", answers.certificate),
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
