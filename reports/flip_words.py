"""Flip points in words: where another plan wins, and what may move without another winner."""

from collections.abc import Iterator

from hwprofiles.tiers import format_rate
from hwprofiles.units import format_s
from planner.explain import Explanation
from planner.flips import Flip
from reports.shares import share

TIER_WORDS = {"intra": "within a node", "inter": "between nodes"}
DOUBT = ", though not all that may be faster were simulated"


def flip_sentences(found: Explanation) -> Iterator[str]:
    """Yield where another plan wins, then what may move without another winner."""
    if found.interrupted:
        yield "Interrupted: what is not named here was not looked at."
    if found.candidates == 1:
        yield "Nothing that this file can price: it has the op times of this plan alone."
        return
    for flip in found.flips:
        if flip.factor is not None:
            yield _flip(flip, flip.factor, found)
    firm: dict[str, list[Flip]] = {}
    for flip in found.flips:
        if flip.factor is None:
            firm.setdefault(flip.knob, []).append(flip)
    for knob, sides in firm.items():
        ends = " to ".join(f"{flip.range_factor:g}x" for flip in sides)
        way = "from" if len(sides) == 2 else "down to" if sides[0].side == "below" else "up to"
        name = knob_words(knob)
        doubt = "" if all(flip.proved for flip in sides) else DOUBT
        yield f"{name[:1].upper()}{name[1:]} {way} {ends} keeps the winner{doubt}."
    if found.flips:
        yield (
            f"Who wins was decided over {_candidates(found)}, at the ends of what was looked at and"
            " 3 % before and beyond every point."
        )


def _candidates(found: Explanation) -> str:
    if found.all_candidates:
        return f"all {found.candidates:,} candidates"
    return f"the {found.candidates:,} candidates whose op times the file holds"


def _flip(flip: Flip, factor: float, found: Explanation) -> str:
    side, at = flip.side.capitalize(), f"{factor:.3g}x {knob_words(flip.knob)}"
    tail = _figures(flip, found)
    doubt = "" if flip.proved else DOUBT
    ahead = f"at {flip.beyond_factor:.3g}x it is {share(flip.faster_frac)} faster"
    if not flip.lasts:
        return f"Just {side.lower()} {at}{tail} {flip.winner} wins{doubt}; {ahead}, not for long."
    near = "; the step itself is no surer than that" if _is_in_doubt(factor, found) else ""
    brief = "".join(
        f" Just {flip.side} {one.factor:.3g}x {one.winner} is {share(one.faster_frac)} faster, but"
        " not for long."
        for one in flip.before
    )
    return f"{side} {at}{tail} {flip.winner} wins{doubt}; {ahead}{near}.{brief}"


def _figures(flip: Flip, found: Explanation) -> str:
    used = {use.link for use in found.links if use.bytes}
    figures = {name: value for name, value in flip.figures.items() if value}
    names = [name for name in figures if name in used] or list(figures)
    tell = format_rate if flip.knob.endswith("bandwidth") else format_s
    shown = ", ".join(f"{name} at {tell(figures[name])}" for name in names)
    return f" ({shown})" if shown else ""


def _is_in_doubt(factor: float, found: Explanation) -> bool:
    """Whether the interval of the step is wider than this change of one figure."""
    least, most = (found.step_s / s for s in reversed(found.interval_s))
    return least < factor < most


def knob_words(name: str) -> str:
    """Return a name as in ``--set`` in words; that of a group of wires stays.

    >>> knob_words("inter.bandwidth"), knob_words("device.speed"), knob_words("x (device to nic)")
    ('bandwidth between nodes', 'device speed', 'x (device to nic)')
    """
    scope, _, key = name.partition(".")
    if scope in TIER_WORDS:
        return f"{key} {TIER_WORDS[scope]}"
    return f"{scope} {key}" if scope == "device" else name
