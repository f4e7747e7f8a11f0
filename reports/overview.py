"""The section that sets plans side by side: one figure, and how far each is from the first."""

from reports.aims import aims, wanted
from reports.bar_figures import interval_figure
from reports.breakdown import breakdown_rows
from reports.case import Case, Cases
from reports.facts import lines, names
from reports.opening import sample_s_of
from reports.parts import Block, Drawing, Section
from reports.tables import Line, Table, compared


def overview(cases: Cases) -> Section:
    """Return the plans of a comparison side by side, with what differs from the first."""
    if len(cases) == 1:
        return ()
    drawn = Drawing(
        caption=f"One step of every plan; the bar is its interval.{_batches(cases)}",
        svg=interval_figure(cases),
    )
    return (Block(drawings=(drawn,), tables=(overview_table(cases),)),)


def _batches(cases: Cases) -> str:
    """Warn that steps of several batches are no race."""
    several = len({case.plans.training.batch for case in cases}) > 1
    return " Batches differ: compare throughput, not steps." * several


def overview_table(cases: Cases) -> Table:
    """Return the quantities of every plan, and how far they are from the first plan's."""
    measured = [("measured step", lambda c: c.measured.step_s if c.measured else None)]
    found = {case.name: case.subject.prediction for case in cases}
    busy = {case.name: breakdown_rows(case)[0] for case in cases}
    sample_s, sought = sample_s_of(cases), wanted(case.plans for case in cases)
    taken = {case.name: {aim.name: aim for aim in aims(case.plans, sought)} for case in cases}
    kinds = {name: aim for own in taken.values() for name, aim in own.items()}

    def per_million(case: Case, name: str) -> float | None:
        aim = taken[case.name].get(name)
        return aim.per_million(case.subject) if aim else None

    return compared(
        names(cases),
        [
            *lines(
                cases,
                ("predicted step", lambda c: found[c.name].step_s),
                *(measured if any(case.measured for case in cases) else []),
                kind="seconds",
            ),
            *lines(cases, ("throughput", lambda c: 1 / sample_s[c.name]), kind="rate"),
            *(
                Line(
                    title=aim.title,
                    values=tuple(per_million(case, name) for case in cases),
                    kind=aim.kind,
                )
                for name, aim in kinds.items()
            ),
            *lines(
                cases,
                ("compute", lambda c: busy[c.name]["compute"]),
                ("exposed communication", lambda c: busy[c.name]["exposed communication"]),
                kind="seconds",
            ),
            *lines(
                cases,
                ("memory of the fullest worker", lambda c: max(found[c.name].arena_bytes)),
                kind="bytes",
            ),
            *lines(cases, ("workers", lambda c: c.subject.plan.workers), kind="count"),
            *lines(cases, ("grade", lambda c: found[c.name].grade)),
        ],
        caption=f"Below a number: how far it is from {cases[0].name}" if len(cases) > 1 else "",
    )
