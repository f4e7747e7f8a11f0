"""An explanation and a what-if in words: short sentences and rows, with units."""

from collections.abc import Iterator

from hwprofiles.tiers import format_rate
from hwprofiles.units import format_bytes, format_frac, format_s
from planner.batches import AtBatch, Change
from planner.explain import Explanation, Margin
from planner.flips import Flip
from planner.whatif import Repriced, WhatIf
from reports.difference import with_unit
from reports.tables import text_rate

Rows = list[tuple[str, ...]]
TIER_WORDS = {"intra": "within a node", "inter": "between nodes"}
MOST_LINKS = 6


def headline(found: Explanation) -> str:
    """Return what is explained."""
    place = "the best plan" if found.pick == 0 else f"plan {found.pick}"
    return (
        f"{found.model}, batch {found.batch}, on {found.cluster}: {place} is {found.label},"
        f" {format_s(found.step_s)} a step (grade {found.grade})"
    )


def path_rows(found: Explanation) -> Rows:
    """Return the critical path by phase, the longest first."""
    return [
        (part.phase, format_s(part.seconds), format_frac(part.frac), str(part.tasks))
        for part in found.critical_path
    ]


def link_rows(found: Explanation) -> Rows:
    """Return the busiest links that carry anything."""
    return [
        (
            use.name,
            f"{use.wires_used} of {use.wires}",
            format_bytes(use.bytes),
            format_frac(use.utilisation_frac),
            use.busiest.ends,
            format_frac(use.busiest.utilisation_frac),
        )
        for use in found.links[:MOST_LINKS]
        if use.busiest
    ]


def exchange_sentences(found: Explanation) -> Iterator[str]:
    """Yield what communication and input cost."""
    c = found.communication
    if c.total_s:
        yield (
            f"Communication takes {format_s(c.total_s)} of a rank's step; computation hides"
            f" {format_s(c.hidden_s)} of it ({format_frac(c.hidden_frac)}), and"
            f" {format_s(c.exposed_s)} are exposed ({format_frac(c.exposed_frac)} of the step)."
        )
    else:
        yield "Nothing is communicated."
    if found.input_stall_s:
        share = format_frac(found.input_stall_s / found.step_s)
        yield f"A rank waits {format_s(found.input_stall_s)} for its records ({share} of the step)."
    else:
        yield "No rank waits for its records."


def margin_sentences(found: Explanation) -> Iterator[str]:
    """Yield by how much the plan won, against whom, and whether the order is firm."""
    margin = found.margin
    if found.faster:
        yield f"It did not: {found.faster} is faster; the search was stopped before it."
    if found.tied:
        yield f"As fast to the picosecond: {', '.join(found.tied)}."
    if margin is None:
        yield "The file has no other plan to compare with."
        return
    if margin.ahead_s != 0:
        word = "beats" if margin.ahead_s > 0 else "loses to"
        yield (
            f"It {word} {margin.label} by {format_s(abs(margin.ahead_s))}"
            f" ({format_frac(abs(margin.ahead_frac))})."
        )
    yield f"They differ in {_changes(margin.differs)}."
    moved = {phase: s for phase, s in margin.path_s.items() if abs(s) > 1e-4 * found.step_s}
    if moved:
        told = ", ".join(_moved(phase, s) for phase, s in moved.items())
        yield f"On the critical path of {margin.label} there is {told}."
    yield _order(margin)


def _order(margin: Margin) -> str:
    order = margin.order
    how = "in all" if order.held == order.seeds else f"only in {order.held} of"
    return (
        f"With {format_frac(order.jitter_frac, 0)} jitter the order holds {how} {order.seeds}"
        f" simulations; the lead is {format_frac(order.least_frac, 3)} to"
        f" {format_frac(order.most_frac, 3)}."
    )


def _changes(differs: tuple[Change, ...]) -> str:
    if not differs:
        return "nothing but their name"
    return ", ".join(
        f"{c.field} ({with_unit(c.field, c.this)} against {with_unit(c.field, c.other)})"
        for c in differs
    )


def flip_sentences(found: Explanation) -> Iterator[str]:
    """Yield where another plan wins, then what may move without another winner."""
    used = {use.link for use in found.links if use.bytes}
    over = f"all {found.candidates} candidates"
    if not found.all_candidates:
        over = f"{found.candidates} candidates; of the others the file does not hold enough"
    proved = all(flip.proved for flip in found.flips) or not found.all_candidates
    for flip in found.flips:
        if flip.factor is not None:
            yield _flip(flip, flip.factor, used)
    firm: dict[str, list[Flip]] = {}
    for flip in found.flips:
        if flip.factor is None:
            firm.setdefault(flip.knob, []).append(flip)
    for knob, sides in firm.items():
        ends = " to ".join(f"{flip.range_factor:g}x" for flip in sides)
        way = "from" if len(sides) == 2 else "down to" if sides[0].side == "below" else "up to"
        name = _knob(knob)
        yield f"{name[:1].upper()}{name[1:]} {way} {ends} keeps the winner."
    if found.flips:
        yield f"Who wins was decided over {over}{'' if proved else ', though not always proved'}."


def _flip(flip: Flip, factor: float, used: set[str]) -> str:
    names = [name for name in flip.figures if name in used] or list(flip.figures)
    rate = flip.knob.endswith("bandwidth")
    shown = ", ".join(
        f"{name} at {(format_rate if rate else format_s)(flip.figures[name])}" for name in names
    )
    tail = f" ({shown})" if shown else ""
    doubt = "" if flip.proved else ", though not all that may be faster were simulated"
    at = f"{flip.side.capitalize()} {factor:.3g}x {_knob(flip.knob)}{tail}"
    return (
        f"{at} {flip.winner} wins{doubt};"
        f" at {flip.beyond_factor:.3g}x it is {format_frac(flip.faster_frac, 2)} faster."
    )


def _knob(name: str) -> str:
    """Return a name as in ``--set`` in words; that of a group of wires stays."""
    scope, _, key = name.partition(".")
    if scope in TIER_WORDS:
        return f"{key} {TIER_WORDS[scope]}"
    return f"{scope} {key}" if scope == "device" else name


def batch_sentences(found: Explanation) -> Iterator[str]:
    """Yield how far the batch may change until another choice wins, among those looked at."""
    for at in found.batches:
        yield _at_batch(at, found.batch)


def _at_batch(at: AtBatch, batch: int) -> str:
    way = "Down" if at.batch < batch else "Up"
    if not at.differs:
        return f"{way} to batch {at.batch} the choice stays ({format_s(at.step_s)} a step)."
    what = f"{way} to batch {at.batch}, where {at.winner} wins ({format_s(at.step_s)} a step)"
    return f"{what}; that changes {_changes(at.differs)}."


def idle_sentences(found: Explanation) -> Iterator[str]:
    """Yield which inputs do not matter to the plan."""
    for idle in found.idle:
        yield f"{_knob(idle.name)}: {idle.why}."


def sections(found: Explanation) -> Iterator[tuple[str, list[str]]]:
    """Yield the sentences by heading; headings without any are left out."""
    parts = {
        "why it won" if found.pick == 0 else "why it did not win": margin_sentences(found),
        "communication and input": exchange_sentences(found),
        "what would change the answer": flip_sentences(found),
        "with another batch": batch_sentences(found),
        "what does not matter": idle_sentences(found),
    }
    for title, sentences in parts.items():
        if lines := list(sentences):
            yield title, lines


def what_if_lines(found: WhatIf) -> Iterator[str]:
    """Yield what the changed hardware does to the answer."""
    settings = ", ".join(found.settings)
    if not found.changes_hardware:
        yield f"{settings}: the hardware stays as it is."
    if found.winner_after == found.winner_before:
        yield f"With {settings} {found.winner_after} is still the best plan."
    else:
        yield (
            f"With {settings} {found.winner_after} is the best plan, no longer"
            f" {found.winner_before}."
        )
    yield f"{found.statement[:1].upper()}{found.statement[1:]}."


def what_if_rows(found: WhatIf) -> Rows:
    """Return every plan before and after."""
    left = "not among the first" if found.searched else "does not fit"
    return [_repriced(row, left) for row in found.plans]


def _repriced(row: Repriced, left: str) -> tuple[str, ...]:
    old, new = row.before, row.after
    moved = row.step_change_frac
    return (
        row.label,
        format_s(old.step_s, 4) if old else "not listed",
        format_s(new.step_s, 4) if new else left,
        f"{100 * moved:+.1f} %" if moved is not None else "",
        format_s(new.closed_form_s, 4) if new else "",
        text_rate(new.samples_per_s) if new else "",
        new.grade if new else "",
    )


def _moved(phase: str, seconds: float) -> str:
    return f"{format_s(abs(seconds))} {'more' if seconds >= 0 else 'less'} {phase}"
