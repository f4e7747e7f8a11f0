"""A model cut into stages: runs of layers, what crosses from one to another, and the best cut.

A value goes straight from the stage that makes it to each later stage that reads it, as the portals
of torchgpipe carry the skips of a U-Net (Kim et al., arXiv:2004.09910, 2020, section 3.3), and its
gradient comes back the same way.

A table that two stages use (tied embeddings) is updated where it is owned, once its other gradient
has arrived, and is sent back.

ASSUMES: every stage is given what it reads of the model's input; only the first one loads it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from planner.model import ModelGraph

NEAR = 1.01
"""Times the least longest stage: among cuts as good as this, the one that sends least is taken."""

NEVER = np.int64(1) << 62
"""Picoseconds that nothing takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What a stage makes and a later one reads."""

    layer: int
    """That gives it."""
    source: int
    """Stage."""
    target: int
    """Stage."""
    elements: int
    """Of a sample."""
    returns: bool
    """Whether its gradient goes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """A table that two stages use: its gradient goes to the owner, the updated table comes back."""

    owner: int
    """Stage."""
    borrower: int
    """Stage."""
    elements: int


def check_balance(model: ModelGraph, balance: Sequence[int]) -> None:
    """Refuse a cut that does not cover the model.

    Raises
    ------
    PlanError
        In one sentence.
    """
    if min(balance, default=0) < 1 or sum(balance) != len(model.layers):
        raise PlanError(
            f"balance {','.join(map(str, balance))}: expected numbers of layers from 1 that add up"
            f" to the {len(model.layers)} of {model.name!r}, got {sum(balance)}; change them"
        )


def stage_of(balance: Sequence[int]) -> list[int]:
    """Return the stage of every layer.

    >>> stage_of((1, 2))
    [0, 1, 1]
    """
    return [stage for stage, layers in enumerate(balance) for _ in range(layers)]


def crossings(model: ModelGraph, balance: Sequence[int]) -> tuple[Crossing, ...]:
    """Return what crosses, by the layer that gives it and then the stage that reads it.

    The loss belongs to the last stage and reads all heads.
    """
    ends = list(accumulate(balance))
    return tuple(
        Crossing(
            layer=layer,
            source=source,
            target=target,
            elements=prod(model.layers[layer].out_shape),
            returns=model.trained[layer],
        )
        for layer, readers in enumerate(_readers(model))
        for source in [bisect_right(ends, layer)]
        for target in sorted({bisect_right(ends, reader) for reader in readers} - {source})
    )


def ties(model: ModelGraph, balance: Sequence[int]) -> tuple[Tie, ...]:
    """Return the tables whose owner and borrower are on two stages."""
    stages = stage_of(balance)
    return tuple(
        Tie(
            owner=stages[owner],
            borrower=stages[borrower],
            elements=sum(map(prod, model.layers[borrower].borrowed.values())),
        )
        for borrower, owner in model.lenders.items()
        if stages[borrower] != stages[owner]
    )


def _readers(model: ModelGraph) -> list[list[int]]:
    """Return by layer the layers that read it; heads are read where the last layer is."""
    found: list[list[int]] = [[] for _ in model.layers]
    for reader, producers in enumerate(model.producers):
        for producer in producers:
            if producer >= 0:
                found[producer].append(reader)
    for head in model.heads[:-1]:
        found[head].append(len(model.layers) - 1)
    return found


def cut_elements(model: ModelGraph) -> Ints:
    """Return what crosses a cut before each layer, elements of a sample, shape (L + 1,)."""
    change = np.zeros(len(model.layers) + 1, dtype=np.int64)
    for layer, readers in enumerate(_readers(model)):
        if readers:
            size = prod(model.layers[layer].out_shape)
            change[layer + 1] += size
            change[max(readers) + 1] -= size
    return np.cumsum(change)


def balanced(layer_ps: Ints, cut_ps: Ints, stages: int) -> tuple[int, ...]:
    """Return the layers of each stage whose longest stage, or cut, is as short as can be.

    Exact, by dynamic programming over the layers; of cuts that are as good to 1 %, the one whose
    transfers are shortest together.

    Parameters
    ----------
    layer_ps : int array, shape (L,)
        Work of each layer.
    cut_ps : int array, shape (L + 1,)
        Transfers of a cut before each layer.
    stages : int
        At most L.
    """
    layers = len(layer_ps)
    done = np.concatenate([[0], np.cumsum(layer_ps)])
    longest = np.where(np.arange(layers + 1) > 0, done, NEVER)
    for _ in range(stages - 1):
        longest = _once_more(longest, done, cut_ps)
    limit = int(NEAR * int(longest[layers]))
    sent = np.where((np.arange(layers + 1) > 0) & (done <= limit), 0, NEVER)
    chosen: list[Ints] = []
    for _ in range(stages - 1):
        options = np.where((cut_ps <= limit) & (sent < NEVER), sent + cut_ps, NEVER)
        options[0] = NEVER
        sent, places = np.full(layers + 1, NEVER), np.zeros(layers + 1, dtype=np.int64)
        for end in range(2, layers + 1):
            first = int(np.searchsorted(done, done[end] - limit))
            if first < end:
                places[end] = first + int(np.argmin(options[first:end]))
                sent[end] = options[places[end]]
        chosen.append(places)
    ends = [layers]
    for places in reversed(chosen):
        ends.append(int(places[ends[-1]]))
    return tuple(int(size) for size in np.diff([0, *reversed(ends)]))


def _once_more(longest: Ints, done: Ints, cut_ps: Ints) -> Ints:
    """Return the longest stage or cut of the layers up to each, with one stage more."""
    start = np.maximum(longest, cut_ps)
    start[0] = NEVER
    found = np.full_like(longest, NEVER)
    for end in range(2, len(longest)):
        found[end] = np.maximum(start[:end], done[end] - done[:end]).min()
    return found
