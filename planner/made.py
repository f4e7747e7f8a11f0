"""Sequences whose items are made when somebody looks at them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class Made(Sequence[T_co]):
    """A sequence by its length and ``made``."""

    __slots__ = ()

    @abstractmethod
    def made(self, at: int) -> T_co:
        """Return item ``at``, from 0 on."""

    @overload
    def __getitem__(self, at: int) -> T_co: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T_co]: ...
    def __getitem__(self, at: int | slice) -> T_co | Sequence[T_co]:
        if isinstance(at, slice):
            return [self.made(place) for place in range(len(self))[at]]
        return self.made(range(len(self))[at])
