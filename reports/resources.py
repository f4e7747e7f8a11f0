"""The sections that show what a step takes: memory and links."""

from hwprofiles.units import format_bytes, format_frac, format_s
from reports.canvas import short
from reports.case import Case, Cases
from reports.evidence import UNKNOWN
from reports.facts import names, numbers, told
from reports.link_figure import use_figure
from reports.linkuse import link_rows, link_use
from reports.livememory import live_memory
from reports.memory_figure import MemoryPanel, memory_figure
from reports.parts import Block, Drawing, Section, each
from reports.rows import arena_rows
from reports.tables import Column, Line, Row, Table, compared, table
from reports.words import CATEGORY_WORDS

MOST_LINKS = 8
"""Links in the table of a plan."""
MOST_ARENAS = 4
"""Kinds of ranks in the table of arenas, of a plan."""


def memory(cases: Cases) -> Section:
    """Return live bytes by category over the step, under the arena, and the arenas by category."""
    panels = [
        MemoryPanel(
            title=case.name,
            live=live_memory(case.replay.program, case.replay.predicted, rank),
            arena_bytes=case.subject.prediction.arena_bytes[rank],
        )
        for case in cases
        if case.replay is not None
        for rank in [_fullest(case)]
    ]
    waste = told(cases, lambda case: f"{case.subject.prediction.waste:.2f}")
    text = (
        "A worker allocates one arena before the first step and nothing after. Registers that are"
        " never alive together share bytes, so the categories of an arena are those of the moment"
        " when most is alive. The live peak is the least the simulated step could do with; the"
        f" waste of static allocation is a factor of {waste} on the fullest worker.",
        *(_proof(case) for case in cases if case.measured and case.measured.arena),
    )
    drawn = [
        Drawing(
            caption=f"Live bytes of the fullest worker over the predicted step. {_largest(cases)}",
            svg=memory_figure(panels),
        )
        for _ in panels[:1]
    ]
    return (
        Block(
            text=text if panels else (*text, UNKNOWN),
            drawings=tuple(drawn),
            tables=(_categories(cases), _arenas(cases)),
        ),
    )


def _largest(cases: Cases) -> str:
    """Say what most of each arena is taken by, when most of it is alive."""
    found = {case.name: case.subject.prediction.memory_bytes for case in cases}
    most = {name: max(own, key=lambda kind: own[kind]) for name, own in found.items()}

    def share(case: Case) -> str:
        own = found[case.name]
        part = format_frac(own[most[case.name]] / sum(own.values()), 0)
        return part if len(set(most.values())) == 1 else f"{most[case.name]} with {part}"

    if len(set(most.values())) == 1:
        return f"Of the arena {told(cases, share)} is {most[cases[0].name]}."
    return f"Most of the arena is {told(cases, share)}."


def _proof(case: Case) -> str:
    """Say what a check has proved of the arenas."""
    assert case.measured
    assert case.measured.arena
    proof = case.measured.arena
    apart = max(proof.unpacked_bytes) / max(case.subject.prediction.arena_bytes)
    return (
        f"{case.name}{': ' if case.name else ''}"
        f"Proved in this check: {proof.steps} steps ended in the same bits when every freed"
        " register was poisoned; they wrote to the last line of the arena and not behind it, and"
        f" held at most {format_bytes(max(proof.beside_bytes))} beside it. Registers side by side"
        f" would take {apart:.2f} times the arena."
    )


def _fullest(case: Case) -> int:
    arenas = case.subject.prediction.arena_bytes
    return arenas.index(max(arenas))


def _categories(cases: Cases) -> Table:
    found = [case.subject.prediction.memory_bytes for case in cases]
    rows = [
        Line(
            title=name,
            values=tuple(own.get(name) for own in found),
            kind="bytes",
            meaning=CATEGORY_WORDS.get(name, ""),
        )
        for name in dict.fromkeys(name for own in found for name in own)
    ]
    whole = Line(title="arena", values=tuple(sum(own.values()) for own in found), kind="bytes")
    return compared(names(cases), [*rows, whole], caption="Arena of the fullest worker by category")


def _arenas(cases: Cases) -> Table:
    """Return arena against live peak: of ranks alike once, of many the fullest and the least."""
    rows = []
    for case in cases:
        alike: dict[tuple[int, int], list[Row]] = {}
        for row in arena_rows(case):
            alike.setdefault((row["arena_bytes"], row["live_peak_bytes"]), []).append(row)
        sizes = sorted(alike, reverse=True)
        sizes = sizes if len(sizes) <= MOST_ARENAS else [*sizes[: MOST_ARENAS - 1], sizes[-1]]
        rows += [
            {**alike[size][0], "ranks": short(numbers([row["rank"] for row in alike[size]]))}
            for size in sizes
        ]
    columns = [
        Column(key="ranks", title="ranks"),
        Column(key="arena_bytes", title="arena", kind="bytes"),
        Column(key="live_peak_bytes", title="live peak", kind="bytes"),
        Column(key="waste", title="waste", kind="factor"),
    ]
    if len(cases) > 1:
        columns.insert(0, Column(key="case", title="plan"))
    return table(rows, columns, caption="Arena against live peak", sortable=True)


def links(cases: Cases) -> Section:
    """Return what the step moves over each link, drawn on the fabric."""
    if not any(case.subject.plan.workers > 1 for case in cases):
        return ()
    places = {case.name: place for place, case in enumerate(cases)}
    head = Block(
        text=(
            "The number on a wire is what its busier direction carries in one step, as a share of"
            " what it could carry in that time. Width and colour mean the same in every picture; of"
            " a large system one node is drawn.",
        )
    )
    return (head, *each(cases, lambda case: _links(case, places[case.name])))


def _links(case: Case, place: int) -> Block | None:
    replay = case.replay
    if replay is None:
        return Block(text=(UNKNOWN,))
    use = link_use(replay.cluster, replay.program, replay.predicted)
    rows = link_rows(replay.cluster, use, MOST_LINKS)
    if not rows:
        return Block(text=("Nothing is moved over a link.",))
    busiest = rows[0]
    caption = (
        f"Busiest: {busiest['from']} to {busiest['to']} ({busiest['link']}),"
        f" {format_frac(busiest['used_frac'])} of its bandwidth over the step of"
        f" {format_s(replay.predicted.makespan_s)}."
    )
    return Block(
        drawings=(Drawing(caption=caption, svg=use_figure(replay.cluster, use, place)),),
        tables=(
            table(
                rows,
                [
                    Column(key="from", title="from"),
                    Column(key="to", title="to"),
                    Column(key="link", title="link"),
                    Column(key="bandwidth_bytes_per_s", title="bandwidth", kind="byte_rate"),
                    Column(key="carried_bytes", title="carried in a step", kind="bytes"),
                    Column(key="returned_bytes", title="and back", kind="bytes"),
                    Column(key="used_frac", title="of its bandwidth", kind="frac"),
                ],
                caption="Busiest links, each by its busier direction",
                sortable=True,
            ),
        ),
    )
