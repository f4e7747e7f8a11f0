"""One microbatch on one worker: load, forward, loss and backward."""

from dataclasses import dataclass, field

from planner.inputs import Feed
from planner.lowering import Lowering, Passes
from planner.passes import Firing
from planner.program import ComputeTask


@dataclass(slots=True)
class Microbatch:
    """Load, forward, loss and backward of one microbatch on one rank."""

    work: Lowering
    rank: int
    number: int
    feed: Feed | None = None
    """What decodes for this rank; without one the step loads by itself."""
    placed: bool = True
    """Whether tasks are told where their arrays lie."""
    holders: dict[str, int] = field(default_factory=dict)
    """By register: the task that took its slot."""
    latest: int = -1
    """The task that fired last, -1 for none."""
    turn: int = field(init=False)
    """Microbatches of this rank before this one, over all steps: slots are taken in turn."""

    def __post_init__(self) -> None:
        work = self.work
        self.turn = len(work.ends) * work.plan.microbatches(work.training.batch) + self.number

    def append(self, passes: Passes) -> None:
        """Append the whole microbatch and note what the exchange must know."""
        work = self.work
        self._load()
        self.latest = work.passed.get((self.rank, self.number - work.frames), -1)
        for position, firing in enumerate(work.model.passes):
            if firing.kind == "accumulate" and self.number == 0:
                work.turns[self.rank, position] = self.latest
                continue
            task = self._fire(position, firing)
            if firing.kind in ("weight_grad", "accumulate"):
                passes.gradient[firing.layer] = task
            elif firing.kind == "input_grad":
                lender = work.model.lenders.get(firing.layer, firing.layer)
                passes.reader |= {firing.layer: task, lender: task}
        work.passed[self.rank, self.number] = self.latest

    def _load(self) -> None:
        """Append the load, or the copy of what the pipeline has decoded."""
        call = self.work.calls.load
        decoded = self.feed.append(self.number) if self.feed else None
        read = decoded.views if decoded else ()
        info = ComputeTask(
            name="copy" if decoded else "load",
            rank=self.rank,
            phase="load",
            call=call,
            views=(*read, *self.work.arrays.loaded(self.number, self.turn)),
            microbatch=self.number,
        )
        names = [tensor.name for tensor in call.writes]
        reads = [(decoded.task, view.register) for view in read] if decoded else ()
        task = self.work.compute(info, reads=reads, writes=names)
        self.holders |= dict.fromkeys(names, task)

    def _fire(self, position: int, firing: Firing) -> int:
        """Append one firing, after the one before it.

        Where two microbatches may be under way, it also follows that firing of the one before
        which gives the bytes back.
        """
        work, turn = self.work, (self.rank, position)
        follows = (self.rank, work.layouts[self.rank].follows[position])
        own = work.arrays.of(position, self.number, self.turn)
        info = ComputeTask(
            name=firing.name,
            rank=self.rank,
            phase=firing.phase,
            call=work.arrays.call(position),
            views=own.views if self.placed else (),
            microbatch=self.number,
        )
        waits = {self.latest, work.turns.get(follows, -1) if work.frames > 1 else -1}
        task = work.compute(
            info,
            after=sorted(waits - {-1}),
            reads=[(self.holders[register], register) for register in own.reads],
            writes=own.takes,
        )
        self.holders |= dict.fromkeys(own.takes, task)
        self.latest = work.turns[turn] = task
        return task
