"""One microbatch on one worker: load, forward, loss and backward."""

from dataclasses import dataclass, field

from planner.inputs import Feed
from planner.lowering import FLAT, Lowering, Passes
from planner.opcall import OpCall, Tensor
from planner.passes import LOADED, Firing, is_parameter, partial
from planner.precision import SCALING
from planner.program import ComputeTask, View

AHEAD = ("x", "labels", "raw")
"""Registers that input of a later step may fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """The arrays of a firing."""

    views: tuple[View, ...]
    reads: tuple[str, ...]
    """Registers that it reads."""
    takes: tuple[str, ...]
    """Registers that it takes a slot of. One that is read and written is written in place."""


@dataclass(slots=True)
class Microbatch:
    """Load, forward, loss and backward of one microbatch on one rank."""

    work: Lowering
    rank: int
    number: int
    feed: Feed | None = None
    """What decodes for this rank; without one the step loads by itself."""
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
            views=(*read, *(self._view(-1, tensor.name, tensor) for tensor in call.writes)),
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
        call = firing.call(work.calls, work.model.layers[firing.layer].parameter_count)
        own = self._operands(position, firing, call)
        info = ComputeTask(
            name=firing.name,
            rank=self.rank,
            phase=firing.phase,
            call=call,
            views=own.views,
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

    def _operands(self, position: int, firing: Firing, call: OpCall) -> "Operands":
        """Return the arrays of a firing: kept with the model, for other plans have them too."""
        work = self.work
        if firing.kind == "loss":  # what it tells has a slot for every microbatch
            return self._made(firing, call)
        slots = self.number % work.frames, *map(self._slot, LOADED), self.number > 0
        key = "operands", position, work.training.dtype, work.plan.microbatch, slots
        return work.model.once(key, lambda: self._made(firing, call))

    def _made(self, firing: Firing, call: OpCall) -> "Operands":
        views, read, written = [], dict[str, None](), dict[str, None]()
        workspace_at = 0
        for tensor in call.tensors:
            in_workspace = tensor in call.work
            if is_parameter(tensor):
                owner = self.work.model.owner(firing.layer, tensor.name.removeprefix("d"))
                register = self._flat(owner, tensor)
                slot = self._slot(register)
                views.append(self.work.parameter(owner, tensor.name, register, slot))
            else:
                register = firing.workspace if in_workspace else firing.places[tensor.name]
                views.append(
                    self._view(firing.layer, register, tensor, workspace_at * in_workspace)
                )
                workspace_at += tensor.size_bytes if in_workspace else 0
            if register in (*FLAT, SCALING):  # whole from step to step, no slot to take
                continue
            if tensor in call.reads or tensor in call.updates:
                read[register] = None
            if tensor not in call.reads:
                written[register] = None
        takes = tuple(name for name in written if name not in read)
        return Operands(views=tuple(views), reads=tuple(read), takes=takes)

    def _flat(self, owner: int, tensor: Tensor) -> str:
        """Return where a parameter of ``owner``, or its gradient by this microbatch, lies."""
        if not tensor.name.startswith("d"):
            return "parameters"
        return partial(self.work.model, owner) if self.number else "gradients"

    def _slot(self, register: str) -> int:
        """Return the slot of this microbatch: input may be of a later step, nothing else."""
        turn = self.turn if register in AHEAD else self.number
        return turn % max(1, self.work.slots[register])

    def _view(self, layer: int, register: str, tensor: Tensor, offset_bytes: int = 0) -> View:
        if register == "gradients":
            return self.work.flat(register, self.work.offsets[layer], tensor.elements)
        return View(
            register=register,
            slot=self._slot(register),
            offset_bytes=offset_bytes,
            shape=tensor.shape,
            dtype=tensor.dtype,
        )
