"""An exchange that is told the moves of a few ranks, each standing for an orbit of moves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Span, Spans, Tasks, width_of
from sim.graphbuilder import GraphBuilder

Way = tuple[int, int, int]
"""Source, destination and bytes of a transfer; the source is a rank that stands for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orbit:
    """Transfers, or additions, of which this one stands for all."""

    src: int
    dst: int
    """The same rank where it adds."""
    elements: int
    after: Tasks
    """Tokens."""
    channel: int = 0
    lands: bool = False
    arrived: int = -1
    """Of an addition: the transfer whose landing it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Lanes and landing register of a channel of a rank that stands for others."""

    send: int
    receive: int
    landing: int


@dataclass(slots=True, kw_only=True)
class FoldedExchange:
    """What an algorithm sees (``planner.collectives.base.Exchange``) where it is emitted folded.

    Tasks are numbered from ``first`` on, as they will be in the graph that they are written to.
    """

    ranks: int
    elements: int
    fold: Symmetry
    item_bytes: int
    first: int = 0
    paid_ps: int = 0
    """What a library pays once, by the transfers that wait for no other task of these."""
    ready: Mapping[int, Tasks] = field(default_factory=dict)
    """By rank that stands for others: tokens after which its landing register may be used."""
    orbits: list[Orbit] = field(default_factory=list)
    last_landing: dict[tuple[int, int], int] = field(default_factory=dict)
    """By rank that stands for others, and channel: the token of the last arrival there."""
    last_add: dict[int, int] = field(default_factory=dict)

    def send(
        self,
        src: int,
        dst: int,
        span: Span,
        *,
        after: Tasks,
        landing: bool,
        channel: int = 0,
        more: Spans = (),
    ) -> int:
        """Note a transfer; arrivals of one landing register keep their order."""
        if landing:
            after = (*after, *self._turns(self.last_landing, dst, channel))
        orbit = Orbit(
            src=src,
            dst=dst,
            elements=width_of(span, *more),
            after=after,
            channel=channel,
            lands=landing,
        )
        token = self._note(orbit)
        if landing:
            self._keep(token, dst, channel)
        return token

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition, in the order of arrival."""
        home, turn = self.fold.home(rank)
        before = [self.fold.turned(self.last_add[home], turn)] if home in self.last_add else []
        orbit = Orbit(
            src=rank,
            dst=rank,
            elements=span[1] - span[0],
            after=(*after, *before),
            arrived=arrived // self.fold.order,
        )
        token = self._note(orbit)
        self.last_add[home] = self.fold.turned(token, turn, back=True)
        return token

    def _turns(self, last: dict[tuple[int, int], int], rank: int, channel: int) -> list[int]:
        home, turn = self.fold.home(rank)
        lane = home, self.fold.channel_home(channel, turn)
        before = [last[lane]] if lane in last else self.ready.get(home, ())
        return [self.fold.turned(token, turn) for token in before]

    def _keep(self, token: int, rank: int, channel: int) -> None:
        home, turn = self.fold.home(rank)
        lane = home, self.fold.channel_home(channel, turn)
        self.last_landing[lane] = self.fold.turned(token, turn, back=True)

    def _note(self, orbit: Orbit) -> int:
        self.orbits.append(orbit)
        return self.fold.token(self.first + len(self.orbits) - 1)

    def way(self, orbit: Orbit) -> Way:
        """Return how a transfer goes, as its rank that stands for others sees it."""
        home, turn = self.fold.home(orbit.src)
        return home, self.fold.rank_turned_back(orbit.dst, turn), orbit.elements * self.item_bytes

    def write(
        self,
        graph: GraphBuilder,
        seat: Callable[[int, int], Seat],
        compute: Callable[[int], int],
        transfer_of: Callable[[Way], tuple[int, int]],
        add_ps: Callable[[int, int], int],
    ) -> None:
        """Append one task for each orbit.

        Parameters
        ----------
        seat : function
            Of a rank that stands for others, and a channel.
        compute : function
            The compute lane of such a rank.
        transfer_of : function
            Of a way: overhead in picoseconds, and route.
        add_ps : function
            Of such a rank and a number of elements.
        """
        assert graph.tasks == self.first, "tasks are numbered as they are written"
        order = self.fold.order

        def seat_of(rank: int, channel: int) -> Seat:
            home, turn = self.fold.home(rank)
            return seat(home, self.fold.channel_home(channel, turn))

        for orbit in self.orbits:
            home, _ = self.fold.home(orbit.dst)
            after = [token // order for token in orbit.after]
            if orbit.arrived >= 0:
                arrival = self.orbits[orbit.arrived - self.first]
                landing = seat_of(orbit.dst, arrival.channel).landing
                graph.compute(
                    [compute(home)],
                    add_ps(home, orbit.elements),
                    after=after,
                    reads=[(orbit.arrived, landing)],
                )
                continue
            way = self.way(orbit)
            overhead_ps, route = transfer_of(way)
            if all(task < self.first for task in after):
                overhead_ps += self.paid_ps
            receiver = seat_of(orbit.dst, orbit.channel)
            graph.transfer(
                [seat_of(orbit.src, orbit.channel).send, receiver.receive],
                overhead_ps,
                payload_bytes=way[2],
                route=route,
                after=after,
                writes=[receiver.landing] if orbit.lands else (),
            )
