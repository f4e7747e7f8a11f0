"""Random inputs, valid by construction."""

from hypothesis import strategies as st

from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph

BANDWIDTHS = st.sampled_from([1e12, 2e12, 3e12, 0.7e12, 1e9, 1e12 / 3])
"""Around one byte per picosecond, so that flows end together with tasks of a few picoseconds."""
CAPS = st.sampled_from([float("inf"), float("inf"), 0.5e12, 1e12, 0.3e12])
DURATIONS_PS = st.sampled_from([0, 0, 1, 2, 3, 5, 8, 1000])
PAYLOADS = st.sampled_from([0, 1, 2, 3, 7, 20, 1_000_003])
SLOTS = st.sampled_from([4, 3, 3, 3, 2, 2, 2, 1, 1, 0])

_MASK = st.integers(0, 15)
_TASK = st.tuples(
    st.integers(1, 15),  # lanes
    DURATIONS_PS,
    PAYLOADS,
    st.integers(0, 7),  # route; the larger half are compute tasks
    st.integers(-1, 1),  # priority
    _MASK,  # which of the last four tasks it follows
    _MASK,  # which of the last four items it reads
    st.integers(0, 5),  # registers that it writes, if they exist
    st.integers(0, 5),
)


def _of(mask: int, last: list) -> list:
    """Return the members of the last four of a list that a mask picks."""
    return [member for bit, member in enumerate(last[-4:]) if mask >> bit & 1]


@st.composite
def task_graphs(
    draw: st.DrawFn, max_tasks: int = 20, min_slots: int = 0, ordered_writers: bool = False
) -> TaskGraph:
    """Graphs with credits, shared links, caps, several lanes, zero lengths, ties and priorities.

    Some of them deadlock: registers may have fewer slots than their readers need. With
    ``ordered_writers`` a writer of a register follows the writer before it.
    """
    builder = GraphBuilder()
    lanes = [builder.lane(device) for device in range(draw(st.integers(1, 4)))]
    links = [builder.link(b) for b in draw(st.lists(BANDWIDTHS, min_size=1, max_size=4))]
    route = st.tuples(st.sets(st.sampled_from(links), min_size=1, max_size=3), CAPS)
    routes = [
        builder.path(sorted(crossed), cap)
        for crossed, cap in draw(st.lists(route, min_size=1, max_size=4))
    ]
    slots = draw(st.lists(SLOTS.map(lambda count: max(count, min_slots)), max_size=4))
    registers = [builder.register(i % 2, count, 10 + i) for i, count in enumerate(slots)]
    written: list[tuple[int, int]] = []
    last_writer: dict[int, int] = {}
    ids: list[int] = []
    tasks = draw(st.integers(1, max_tasks))
    for mask, duration, payload, way, priority, after, reads, *outs in draw(
        st.lists(_TASK, min_size=tasks, max_size=tasks)
    ):
        held = _of(mask, lanes) or lanes[:1]
        writes = [registers[out] for out in outs if out < len(registers)]
        before = [last_writer[r] for r in writes if r in last_writer and ordered_writers]
        common = {
            "priority": priority,
            "after": [*_of(after, ids), *before],
            "reads": _of(reads, written),
            "writes": writes,
        }
        if way < 4:
            chosen = routes[way % len(routes)]
            task = builder.transfer(held, duration, payload_bytes=payload, route=chosen, **common)
        else:
            task = builder.compute(held, duration, **common)
        ids.append(task)
        last_writer.update(dict.fromkeys(writes, task))
        written += [(task, register) for register in writes]
    return builder.build()


_FLOW = st.tuples(
    st.sets(st.integers(0, 4), min_size=1, max_size=3),
    CAPS,
    st.integers(0, 30),  # overhead
    st.integers(1, 60),  # payload
    _MASK,
)


@st.composite
def flow_graphs(draw: st.DrawFn, max_tasks: int = 12) -> TaskGraph:
    """Transfers on lanes of their own over five links: large components, many changes of rate."""
    builder = GraphBuilder()
    links = [builder.link(b) for b in draw(st.lists(BANDWIDTHS, min_size=5, max_size=5))]
    flows = draw(st.integers(2, max_tasks))
    ids: list[int] = []
    for crossed, cap, overhead, payload, after in draw(
        st.lists(_FLOW, min_size=flows, max_size=flows)
    ):
        # Following nobody is as likely as following somebody.
        follows = _of(after, ids) if after < 8 else []
        route = builder.path([links[i] for i in sorted(crossed)], cap)
        lane = builder.lane(0)
        ids.append(
            builder.transfer([lane], overhead, payload_bytes=payload, route=route, after=follows)
        )
    return builder.build()


_STAGE = st.tuples(
    st.integers(0, 3),  # lane
    DURATIONS_PS,
    PAYLOADS,
    st.booleans(),  # is it a transfer
    st.integers(1, 3),  # slots
    st.integers(0, 2),  # stages back that it reads too
    st.integers(-1, 1),  # priority
)


@st.composite
def pipeline_graphs(draw: st.DrawFn, max_microbatches: int = 5) -> TaskGraph:
    """Actors in a row with bounded registers, fired once per microbatch: they wait for credits."""
    builder = GraphBuilder()
    stages = draw(st.lists(_STAGE, min_size=2, max_size=4))
    lanes = [builder.lane(device) for device in range(4)]
    route = builder.path([builder.link(1e12)])
    registers = [builder.register(0, stage[4], 8) for stage in stages]
    for _ in range(draw(st.integers(2, max_microbatches))):
        row: list[int] = []
        for actor, (lane, duration, payload, moves, _, back, priority) in enumerate(stages):
            reads = [(row[s], registers[s]) for s in range(max(0, actor - 1 - back), actor)]
            common = {
                "actor": actor,
                "priority": priority,
                "reads": reads,
                "writes": [registers[actor]],
            }
            if moves:
                task = builder.transfer(
                    [lanes[lane]], duration, payload_bytes=payload, route=route, **common
                )
            else:
                task = builder.compute([lanes[lane]], duration, **common)
            row.append(task)
    return builder.build()


def any_graphs() -> st.SearchStrategy[TaskGraph]:
    """Return all three kinds of graphs."""
    return st.one_of(task_graphs(), pipeline_graphs(), flow_graphs())
