"""An explanation in words: short sentences and rows, with units."""

from collections.abc import Iterator

from hwprofiles.units import format_bytes, format_frac, format_s
from planner.batches import AtBatch, Change
from planner.explain import Explanation, Margin
from planner.rivals import Rival
from reports.difference import with_unit
from reports.flip_words import DOUBT, flip_sentences, knob_words
from reports.shares import share, slower

Rows = list[tuple[str, ...]]
MOST_LINKS = 6
MOST_RIVALS = 12


def headline(found: Explanation) -> str:
    """Return what is explained."""
    place = "the best plan" if found.pick == 0 else f"plan {found.pick}"
    least, most = map(format_s, found.interval_s)
    return (
        f"{found.model}, batch {found.batch}, on {found.cluster}: {place} is {found.label},"
        f" {format_s(found.step_s)} a step (grade {found.grade}, {found.interval_kind} interval"
        f" {least} to {most})"
    )


def path_rows(found: Explanation) -> Rows:
    """Return the critical path by phase, the longest first."""
    return [
        (part.phase, format_s(part.seconds), share(part.frac), f"{part.tasks:,}")
        for part in found.critical_path
    ]


def link_rows(found: Explanation) -> Rows:
    """Return the busiest links that carry anything."""
    return [
        (
            use.name,
            f"{use.wires_used} of {use.wires}",
            format_bytes(use.bytes),
            share(use.utilisation_frac),
            use.busiest.ends,
            share(use.busiest.utilisation_frac),
        )
        for use in found.links[:MOST_LINKS]
        if use.busiest
    ]


def response_rows(found: Explanation) -> Rows:
    """Return what half and double of every figure do to the step; of no effect none."""
    idle = {idle.name for idle in found.idle}
    return [
        (knob_words(one.knob), *(_answer(s, found.step_s) for s in (one.half_s, one.double_s)))
        for one in found.responses
        if one.knob not in idle
    ]


def _answer(step_s: float, now_s: float) -> str:
    return f"{format_s(step_s)} ({share(step_s / now_s - 1, signed=True)})"


def exchange_sentences(found: Explanation) -> Iterator[str]:
    """Yield what communication and input cost."""
    c = found.communication
    if c.total_s:
        yield (
            f"Communication takes {format_s(c.total_s)} of a rank's step; computation hides"
            f" {format_s(c.hidden_s)} of it ({share(c.hidden_frac)}), and"
            f" {format_s(c.exposed_s)} are exposed ({share(c.exposed_frac)} of the step)."
        )
    else:
        yield "Nothing is communicated."
    if found.input_stall_s:
        stall, of_step = format_s(found.input_stall_s), share(found.input_stall_s / found.step_s)
        yield f"A rank waits {stall} for its records ({of_step} of the step)."
    else:
        yield "No rank waits for its records."
    if found.waiting_s > 0:
        of_step = share(found.waiting_s / found.step_s)
        yield (
            f"For {format_s(found.waiting_s)} a rank does nothing but wait for others ({of_step} of"
            " the step). All these are means over the ranks."
        )


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
            f" ({share(abs(margin.ahead_frac))})."
        )
    elif not found.tied:
        yield f"It is as fast as {margin.label}."
    yield f"They differ in {_changes(margin.differs)}."
    moved = {phase: s for phase, s in margin.path_s.items() if abs(s) > 1e-4 * found.step_s}
    if moved:
        told = ", ".join(_moved(phase, s) for phase, s in moved.items())
        yield f"On the critical path of {margin.label} there is {told}."
    yield _order(margin)


def _moved(phase: str, seconds: float) -> str:
    return f"{format_s(abs(seconds))} {'more' if seconds >= 0 else 'less'} {phase}"


def _order(margin: Margin) -> str:
    order = margin.order
    how = "in all" if order.held == order.seeds else f"only in {order.held} of"
    return (
        f"With {format_frac(order.jitter_frac, 0)} jitter the order holds {how} {order.seeds}"
        f" simulations; the lead is {format_frac(order.least_frac, 3)} to"
        f" {format_frac(order.most_frac, 3)}."
    )


def _changes(differs: tuple[Change, ...], form: str = "{} against {}") -> str:
    if not differs:
        return "nothing but their name"
    return ", ".join(
        f"{c.field} ({form.format(*(with_unit(c.field, side) for side in (c.this, c.other)))})"
        for c in differs
    )


def rival_sentences(found: Explanation) -> Iterator[str]:
    """Yield the best candidate of every other choice, and how much slower it is."""
    for rival in found.rivals[:MOST_RIVALS]:
        yield f"{rival.choice}: {rival.label}, {_rival(rival, found.step_s)}."


def _rival(rival: Rival, step_s: float) -> str:
    behind, least = (s / step_s - 1 for s in (rival.step_s, max(rival.least_s, step_s)))
    took = f"{format_s(rival.step_s)} a step"
    if not rival.simulated and behind <= 0:
        return "not simulated, may be as fast"
    if not rival.simulated:
        return f"not simulated, at least {slower(behind)} ({took})"
    doubt = f"; others are at least {slower(least)}" if least > 0 else "; others may be as fast"
    return f"{took}, {slower(behind)}{doubt if rival.least_s < rival.step_s else ''}"


def batch_sentences(found: Explanation) -> Iterator[str]:
    """Yield how far the batch may change until another choice wins, among those looked at."""
    for at in found.batches:
        yield _at_batch(at, found.batch)
    if found.batches:
        yield "Looked at were batches that the workers of the plan can share, by bisection."


def _at_batch(at: AtBatch, batch: int) -> str:
    way = "Down" if at.batch < batch else "Up"
    took = f"({format_s(at.step_s)} a step){'' if at.proved else DOUBT}"
    if not at.differs:
        return f"{way} to batch {at.batch:,} the choice stays {took}."
    changes = _changes(at.differs, "from {} to {}")
    return f"{way} to batch {at.batch:,}, where {at.winner} wins {took}; that changes {changes}."


def idle_sentences(found: Explanation) -> Iterator[str]:
    """Yield which inputs do not matter to the plan, those of one reason in one sentence."""
    names: dict[str, list[str]] = {}
    for idle in found.idle:
        names.setdefault(idle.why, []).append(knob_words(idle.name))
    for why, some in names.items():
        yield f"{why[:1].upper()}{why[1:]}: {', '.join(some)}."


def sections(found: Explanation) -> Iterator[tuple[str, list[str]]]:
    """Yield the sentences by heading; headings without any are left out."""
    parts = {
        "why it won" if found.pick == 0 else "why it did not win": margin_sentences(found),
        "communication and input": exchange_sentences(found),
        "the best with another choice": rival_sentences(found),
        "what would change the answer": flip_sentences(found),
        "with another batch": batch_sentences(found),
        "what does not matter": idle_sentences(found),
    }
    for title, sentences in parts.items():
        if lines := list(sentences):
            yield title, lines
