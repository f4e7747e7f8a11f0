"""What lanes and links must do at least, told by a few ranks that stand for all.

The twin of ``planner.exchange_work`` for many ranks: never more than it tells, for blocks are as
wide as the narrowest, and a pair of ranks takes as long as the quickest that it stands for.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.collectives.base import Prices
from planner.crossings import EMPTY, LATER, REDUCE, Routes, crossing_ps
from planner.exchange_work import Work, lone_ps
from planner.folded_moves import FoldedMoves, fitting_moves
from planner.moves import Groups
from planner.pivots import stacked_rows


def folded_work(
    name: str,
    sizes: Sequence[int],
    prices: Prices,
    update_ps: Callable[[int], int],
    routes: Routes,
) -> Work | None:
    """Return what lanes and links do in an exchange of each of ``sizes`` elements, at least.

    None where all moves must be looked at.
    """
    moves = fitting_moves(name, prices.ranks, partial(_rates, routes))
    if moves is None:
        return None
    distinct, seats = sorted(set(sizes)), moves.seats
    # blocks are as wide as the narrowest, so many sizes have the same moves
    wholes, which = np.unique(np.array(distinct) // moves.blocks, return_inverse=True)
    which = which.reshape(-1)
    widths = moves.widths((wholes * moves.blocks).tolist())
    duration, idle = _durations(moves, widths, prices, routes)
    paid = np.full(len(wholes), LATER)
    np.minimum.at(paid, which, [prices.library_ps(name, n) for n in distinct])
    for part in (duration, idle):
        part[moves.first_sends] += paid
    update = np.array([update_ps(n) for n in distinct], dtype=np.int64)
    head, tail = moves.times(duration, np.zeros_like(wholes))

    def lane(groups: Groups, some: Ints, own: int) -> list[Ints]:
        """Return fill, work and drain by rank and ``own`` lanes of it."""
        of, rows = zip(REDUCE, (head, duration, tail), EMPTY, strict=True), seats * own
        return [groups.by_key(f, array, rows, empty, some) for f, array, empty in of]

    lanes = [lane(some, moves.sends, moves.channels) for some in (moves.by_src, moves.by_dst)]
    fill, additions, _ = lane(moves.by_adder, moves.adds, 1)
    ready = np.array([(head[t] + duration[t]).max(axis=0) for t in moves.last])
    fill = np.minimum(fill, ready)
    if prices.holds_compute:
        for some in lanes:
            first, work, _ = (a.reshape(seats, moves.channels, -1) for a in some)
            fill, additions = np.minimum(fill, first.min(axis=1)), additions + work.sum(axis=1)
        lanes = []
    links, rows = _links(moves, wholes, (head + idle, tail), routes)
    lanes.append(rows)

    def of_sizes(array: Ints) -> Ints:
        """Return the columns of all sizes."""
        found: Ints = array[..., which]
        return found

    fills, works, drains = (of_sizes(np.concatenate(a)) for a in zip(*lanes, strict=True))
    fill, additions = of_sizes(fill), of_sizes(additions)
    # an update follows every last move, so it is part of every drain
    own = (fill, additions + update, np.zeros_like(additions))
    at = len(fills) - len(links)
    fills, works, drains = (
        np.insert(array, at, rows, axis=0)
        for array, rows in zip((fills, works, drains + update), own, strict=True)
    )
    return Work(
        sizes={n: i for i, n in enumerate(distinct)},
        links=links,
        fill_ps=fills,
        work_ps=works,
        drain_ps=drains,
        compute_ps=additions,
        chain_ps=of_sizes((head + duration + tail).max(axis=0)),
        all_ps=of_sizes(duration.sum(axis=0)),
        pivot_ps=stacked_rows([], len(distinct)),  # of alike ranks none is a root
    )


def _durations(
    moves: FoldedMoves, span_widths: Ints, prices: Prices, routes: Routes
) -> tuple[Ints, Ints]:
    """Time of each move alone, and the part of it in which no byte moves, shape (T, N)."""
    kinds: dict[object, tuple[int, int]] = {}
    classes: dict[tuple[object, ...], int] = {}
    of_pair = []
    for members in moves.members:
        of_members = {routes.kind(*ends): tuple(ends) for ends in members.tolist()}
        kinds |= of_members
        of_pair.append(classes.setdefault(tuple(of_members), len(classes)))
    widths, width_of = np.unique(span_widths, return_inverse=True)
    alone = {kind: _lone(src, dst, widths, prices, routes) for kind, (src, dst) in kinds.items()}
    # a pair takes as long as the quickest that it stands for
    quickest = [np.min([alone[kind] for kind in some], axis=0) for some in classes]
    at = width_of.reshape(len(moves.spans), -1)
    rows = np.array(of_pair)[moves.pair_of] * len(moves.spans) + moves.span_of
    by_kind = np.stack(quickest, axis=1)[:, :, at].reshape(2, -1, at.shape[1])
    all_ps, idle_ps = by_kind[:, rows]
    return all_ps, idle_ps


def _lone(src: int, dst: int, widths: Ints, prices: Prices, routes: Routes) -> tuple[Ints, Ints]:
    """Time of a move of each width, and the part of it in which no byte moves."""
    if src == dst:
        added = np.array([prices.add_ps(src, n) for n in widths.tolist()], dtype=np.int64)
        return added, np.zeros_like(added)
    payload = widths * np.float64(routes.item_bytes)
    return lone_ps(routes.route(src, dst), payload)


def _rates(routes: Routes, pairs: Ints) -> Floats:
    """Return the rate of a lone transfer of each pair, shape (n, 2); of one rank, who adds."""
    names = sorted({device.name for device in routes.cluster.devices})
    known: dict[object, float] = {}
    found = []
    for src, dst in pairs.tolist():
        kind = routes.kind(src, dst)
        if kind not in known:
            alone = src == dst
            rate = 0.0 if alone else routes.route(src, dst).bandwidth_bytes_per_s
            known[kind] = float(names.index(str(kind))) if alone else rate
        found.append(known[kind])
    return np.array(found)


def _links(
    moves: FoldedMoves, wholes: Ints, times: tuple[Ints, Ints], routes: Routes
) -> tuple[Ints, list[Ints]]:
    """Return the links that the transfers cross; fill, work and drain of them, (links, N).

    ``wholes`` are the elements of a block.
    """
    blocks = (moves.spans[:, 1] - moves.spans[:, 0])[moves.span_of, None]
    of = zip(REDUCE, (times[0], blocks, times[1]), strict=True)
    by_pair = [moves.by_pair.reduce(f, array, moves.sends) for f, array in of]
    crossed = [
        (place, link)
        for place, pair in enumerate(moves.by_pair.keys.tolist())
        for ends in moves.members[pair].tolist()
        for link in routes.route(*ends).link_ids
    ]
    place, link = np.array(crossed, dtype=np.int64).T
    by_link = Groups.of(link)
    fill, blocks, drain = (
        by_link.reduce(f, a[place]) for f, a in zip(REDUCE, by_pair, strict=True)
    )
    payload = blocks * (wholes * routes.item_bytes)
    rate = np.array([routes.cluster.links[i].bandwidth_bytes_per_s for i in by_link.keys])
    return by_link.keys, [fill, crossing_ps(payload, rate[:, None]), drain]
