"""What turns one rank of an algorithm into any other, so that one stands for all.

A rank is a number of several digits, the innermost first. A *turn* moves every digit of a rank by
its part: round a ring (cyclic), or by flipping bits. Blocks of the array move with the ranks. An
algorithm that does the same at every rank, seen from there, is emitted at a few of them only: each
task then stands for its *orbit*, one task for every turn. A turn may lead from channel to channel.

A *token* is a task and a turn in one number: the member of the task's orbit which that turn gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from operator import mul

import numpy as np

from hwprofiles.units import Ints

Turn = tuple[int, ...]
"""By digit: how far it is moved; a multiple of what is kept of the digit."""
FIXED, BY_CHANNEL = -1, -2
"""Digits of a block that do not move, or move as channels do."""


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """Turns of ranks and blocks."""

    sizes: tuple[int, ...]
    """By digit of a rank, the innermost first."""
    blocks: tuple[tuple[int, int], ...]
    """By digit of a block, the outermost first: its size, and the digit of the rank that it moves
    with, ``FIXED`` or ``BY_CHANNEL``."""
    flips: tuple[bool, ...] = ()
    """By digit of a rank: whether bits of it are flipped, and not the digit moved round."""
    kept: tuple[int, ...] = ()
    """By digit: how many of its values stand for all; they are the first ones. Without it, one."""
    channels: tuple[int, ...] = ()
    """By digit: to which channel from the first one a turn by one leads; without it, channels stay.
    There are as many as the block digit ``BY_CHANNEL`` has values."""

    @cached_property
    def order(self) -> int:
        """Number of turns, so of members of an orbit."""
        return prod(self.sizes) // prod(self._kept)

    @cached_property
    def block_count(self) -> int:
        """Number of blocks of the array."""
        return prod(size for size, _ in self.blocks)

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        return self.kept or (1,) * len(self.sizes)

    @cached_property
    def _flips(self) -> tuple[bool, ...]:
        return self.flips or (False,) * len(self.sizes)

    def ranks(self) -> list[int]:
        """Return the ranks that stand for all."""
        found = [0]
        stride = 1
        for size, kept in zip(self.sizes, self._kept, strict=True):
            found = [rank + stride * value for value in range(kept) for rank in found]
            stride *= size
        return sorted(found)

    def choices(self) -> Iterator[tuple[int, ...]]:
        """Yield how many values of each digit to keep, the fewest ranks first, and never all."""
        kept = [
            [k for k in range(1, size + 1) if size % k == 0 and (not flip or k & (k - 1) == 0)]
            for size, flip in zip(self.sizes, self._flips, strict=True)
        ]
        yield from sorted(product(*kept), key=lambda ks: (prod(ks), ks))[:-1]

    def home(self, rank: int) -> tuple[int, Turn]:
        """Return the rank that stands for ``rank``, and the turn that leads from there to it."""
        if rank not in self._known_homes:
            self._known_homes[rank] = self._home(rank)
        return self._known_homes[rank]

    @cached_property
    def _known_homes(self) -> dict[int, tuple[int, Turn]]:
        return {}

    def _home(self, rank: int) -> tuple[int, Turn]:
        at, stride, turn = 0, 1, []
        for size, kept in zip(self.sizes, self._kept, strict=True):
            rank, value = divmod(rank, size)
            at += stride * (value % kept)
            stride *= size
            turn.append(value - value % kept)
        return at, tuple(turn)

    def rank_turned_back(self, rank: int, turn: Turn) -> int:
        """Return the rank that ``turn`` makes ``rank``."""
        at, stride = 0, 1
        for value, size, flip in zip(turn, self.sizes, self._flips, strict=True):
            rank, digit = divmod(rank, size)
            at += stride * (digit ^ value if flip else (digit - value) % size)
            stride *= size
        return at

    def place_of(self, rank: int) -> int:
        """Return the place of the turn that leads to a rank from the one that stands for it."""
        return self._place(self.home(rank)[1])

    def blocks_home(self, blocks: range, turn: Turn) -> range:
        """Return the blocks that ``turn`` makes ``blocks``: whole digits, or aligned parts."""
        first, rest, stride = 0, blocks[0], self.block_count
        for size, digit in self.blocks:
            stride //= size
            value, rest = divmod(rest, stride)
            if digit == BY_CHANNEL:
                value = self.channel_home(value, turn)
            elif digit != FIXED and stride * size > len(blocks):
                moved = turn[digit] - turn[digit] % max(1, len(blocks) // stride)
                value = value ^ moved if self._flips[digit] else (value - moved) % size
            first += value * stride
        return range(first, first + len(blocks))

    @cached_property
    def _channel_count(self) -> int:
        return next(size for size, digit in self.blocks if digit == BY_CHANNEL)

    def channel_home(self, channel: int, turn: Turn) -> int:
        """Return the channel that ``turn`` makes ``channel``."""
        if not self.channels:
            return channel
        moved: int = sum(map(mul, turn, self.channels))
        return (channel - moved) % self._channel_count

    # Tokens

    def token(self, task: int) -> int:
        """Return the token of a task itself."""
        return task * self.order

    def turned(self, token: int, turn: Turn, *, back: bool = False) -> int:
        """Return the token of the member to which ``turn`` leads, or from which it does."""
        task, place = divmod(token, self.order)
        key = place, turn, back
        if key not in self._known_turns:
            parts = zip(self._turn(place), turn, self.sizes, self._flips, strict=True)
            moved = [a ^ b if flip else (a - b if back else a + b) % n for a, b, n, flip in parts]
            self._known_turns[key] = self._place(tuple(moved))
        return task * self.order + self._known_turns[key]

    @cached_property
    def _known_turns(self) -> dict[tuple[int, Turn, bool], int]:
        return {}

    def _turn(self, place: int) -> Turn:
        turn = []
        for size, kept in zip(self.sizes, self._kept, strict=True):
            place, value = divmod(place, size // kept)
            turn.append(value * kept)
        return tuple(turn)

    def _place(self, turn: Turn) -> int:
        place, stride = 0, 1
        for value, size, kept in zip(turn, self.sizes, self._kept, strict=True):
            place += value // kept * stride
            stride *= size // kept
        return place

    # All turns at once

    def members(self, rank: int) -> Ints:
        """Return where every turn leads ``rank``, shape (order,)."""
        found, stride = np.zeros(self.order, dtype=np.int64), 1
        for digit, size in enumerate(self.sizes):
            rank, value = divmod(rank, size)
            found += stride * self._moved(digit, value)
            stride *= size
        return found

    def places(self, place: int) -> Ints:
        """Return, by turn, the place of the turn that follows from it by that at ``place``."""
        found, stride = np.zeros(self.order, dtype=np.int64), 1
        for digit, value in enumerate(self._turn(place)):
            found += self._moved(digit, value) // self._kept[digit] * stride
            stride *= self.sizes[digit] // self._kept[digit]
        return found

    def block_members(self, blocks: range) -> Ints:
        """Return the first block of what every turn makes ``blocks``, shape (order,)."""
        found, rest, stride = np.zeros(self.order, dtype=np.int64), blocks[0], self.block_count
        for size, digit in self.blocks:
            stride //= size
            value, rest = divmod(rest, stride)
            if digit == BY_CHANNEL:
                found += self.channel_members(value) * stride
            elif digit != FIXED and stride * size > len(blocks):
                turns = self._turns[digit]
                moved = turns - turns % max(1, len(blocks) // stride)
                found += (value ^ moved if self._flips[digit] else (value + moved) % size) * stride
            else:
                found += value * stride
        return found

    def channel_members(self, channel: int) -> Ints:
        """Return where every turn leads ``channel``, shape (order,)."""
        if not self.channels:
            return np.full(self.order, channel)
        moved = sum(map(mul, self._turns, self.channels))
        return np.asarray((channel + moved) % self._channel_count)

    def _moved(self, digit: int, value: int) -> Ints:
        """Return where every turn moves a value of a digit."""
        turns = self._turns[digit]
        return turns ^ value if self._flips[digit] else (turns + value) % self.sizes[digit]

    @cached_property
    def _turns(self) -> list[Ints]:
        """By digit: by how much every turn moves it."""
        found, places = list[Ints](), np.arange(self.order)
        for size, kept in zip(self.sizes, self._kept, strict=True):
            places, value = np.divmod(places, size // kept)
            found.append(value * kept)
        return found
