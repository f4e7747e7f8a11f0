"""The sections of a page, in order: each turns a case into words, tables and figures."""

from collections.abc import Callable
from dataclasses import dataclass

from reports import answers, evidence, inputs, origins
from reports.case import Case
from reports.parts import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A section's place in the page."""

    key: str
    title: str
    build: Callable[[Case], Section]


ENTRIES = tuple(
    Entry(key=key, title=title, build=build)
    for key, title, build in (
        ("question", "The question", answers.question),
        ("answer", "The answer", answers.answer),
        ("verdict", "Measured against predicted", answers.verdict),
        ("certificate", "Why nothing else is faster", answers.certificate),
        ("candidates", "The best plans", answers.candidates),
        ("phases", "Where the time goes", evidence.phases),
        ("split", "Where the error comes from", evidence.split),
        ("ops", "Every op", evidence.ops),
        ("timeline", "One step, task by task", evidence.timeline),
        ("input", "Where the samples come from", inputs.pipeline),
        ("memory", "Memory", evidence.memory),
        ("training", "Training", evidence.training),
        ("sentinels", "Did the machine hold still?", evidence.sentinels),
        ("grades", "How the prediction is known", origins.grades),
        ("assumptions", "Assumed, and not modelled", origins.assumptions),
        ("environment", "Environment and identity", origins.environment),
        ("reproduction", "Do it again", origins.reproduction),
        ("glossary", "Words", origins.glossary),
    )
)
