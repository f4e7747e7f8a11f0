"""One microbatch on one worker: load, forward, loss and backward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from planner.inputs import Feed
from planner.lowering import Lowering, Passes
from planner.opcall import OpCall, Tensor
from planner.program import ComputeTask, View

PARAMETERS = ("w", "b")
"""Names of the tensors that lie in the flat arrays, their gradients with a ``d`` before."""


@dataclass(slots=True)
class Item:
    """What one register holds for one microbatch."""

    writer: int
    """Task that took the slot."""
    value: int
    """Task that wrote last: ``writer``, or one that wrote over it in place."""
    readers: list[int] = field(default_factory=list)
    """Tasks that read what ``value`` wrote."""


@dataclass(slots=True)
class Microbatch:
    """Load, forward, loss and backward of one microbatch on one rank."""

    work: Lowering
    rank: int
    number: int
    feed: Feed | None = None
    """What decodes for this rank; without one the step loads by itself."""
    items: dict[str, Item] = field(default_factory=dict)

    def _view(self, register: str, tensor: Tensor, offset_bytes: int) -> View:
        slots = self.work.register_slots[self.rank][register]
        return View(
            register=register,
            slot=self.number % max(1, slots),
            offset_bytes=offset_bytes,
            shape=tensor.shape,
            dtype=tensor.dtype,
        )

    def _fire(
        self,
        phase: str,
        name: str,
        call: OpCall,
        places: Mapping[str, str],
        *,
        layer: int = -1,
        gradient: str = "",
        after: Sequence[int] = (),
    ) -> int:
        """Append one firing: ``places`` maps tensor names to registers, flat arrays excepted.

        ``gradient`` is where the gradients of parameters go: ``gradients``, the flat array itself,
        or ``partial``; there those of borrowed ones have a register of their own.

        A register that is read and written is written in place: the task takes no slot, and waits
        for all that read the old value. Where it reads another register too and takes no slot at
        all, it also waits for its turn, so that slots of the other one come back in order.
        """
        views, read, written, partial = [], dict[str, None](), dict[str, None](), list[str]()
        workspace_at = 0
        for tensor in call.tensors:
            base = tensor.name.removeprefix("d")
            if base in PARAMETERS:
                owner, place = self._place(layer, base, gradient)
                register = "parameters" if base == tensor.name else place
                views.append(self.work.parameter(owner, tensor.name, register))
                if register not in ("parameters", "gradients"):
                    partial.append(register)
                    read |= dict.fromkeys([register] if tensor in call.updates else [])
                continue
            in_workspace = tensor in call.work
            register = "workspace" if in_workspace else places[tensor.name]
            views.append(self._view(register, tensor, workspace_at if in_workspace else 0))
            workspace_at += tensor.size_bytes if in_workspace else 0
            if tensor in call.reads or tensor in call.updates:
                read[register] = None
            if tensor not in call.reads:
                written[register] = None
        written |= dict.fromkeys(partial)
        taken = [register for register in written if register not in read]
        after = [*after, *(self.items[register].value for register in read)]
        for register in read:
            after += self.items[register].readers if register in written else []
        last = self.work.last_in_place
        if len(read) > 1 and not (taken or gradient) and (self.rank, name) in last:
            after.append(last[self.rank, name])
        info = ComputeTask(
            name=name,
            rank=self.rank,
            phase=phase,
            call=call,
            views=tuple(views),
            microbatch=self.number,
        )
        task = self.work.compute(
            info,
            after=after,
            reads=[(self.items[register].writer, register) for register in read],
            writes=taken,
        )
        if not taken:
            last[self.rank, name] = task
        for register in read:
            item = self.items[register]
            if register in written:
                item.value, item.readers = task, []
            else:
                item.readers.append(task)
        self.items |= {register: Item(writer=task, value=task) for register in taken}
        return task

    def append(self, passes: Passes) -> None:
        """Append the whole microbatch and note what the exchange must know."""
        work, wiring = self.work, self.work.model.wiring
        if self.feed:
            self._copy(self.feed)
        else:
            places = {"x": "x", "labels": "labels", "raw": "raw"}
            self._fire("load", "load", work.calls.load, places)
        for i, (layer, calls) in enumerate(zip(work.model.layers, work.calls.layers, strict=True)):
            task = self._fire("forward", layer.name, calls.forward, self._places(i), layer=i)
            self._note_reader(i, task, passes)
        loss = work.calls.loss
        logits = (wiring.outputs[i] for i in work.model.heads)
        places = dict(zip((t.name for t in loss.reads), logits, strict=False))
        places |= {t.name: f"loss.{t.name}" for t in loss.writes} | {"labels": "labels"}
        self._fire("forward", "loss", loss, places)
        for i in reversed(range(len(work.model.layers))):
            self._backward(i, passes)

    def _note_reader(self, i: int, task: int, passes: Passes) -> None:
        """Note that ``task`` reads the parameters of layer ``i`` and those it borrows."""
        for owner in {i, self.work.model.lenders.get(i, i)}:
            passes.readers.setdefault(owner, []).append(task)

    def _place(self, i: int, name: str, gradient: str) -> tuple[int, str]:
        """Return who owns the parameter ``name`` of layer ``i``, and where its gradient goes."""
        model = self.work.model
        owner = model.lenders[i] if name in model.layers[i].borrowed else i
        if gradient == "partial" and owner in model.lenders.values():
            return owner, f"{model.layers[owner].name}.dw"
        return owner, gradient

    def _copy(self, feed: Feed) -> None:
        """Append the copy of what the pipeline has decoded."""
        call, decoded = self.work.calls.load, feed.append(self.number)
        taken = [tensor.name for tensor in call.writes]
        info = ComputeTask(
            name="copy",
            rank=self.rank,
            phase="load",
            call=call,
            views=(*decoded.views, *(self._view(t.name, t, 0) for t in call.writes)),
            microbatch=self.number,
        )
        reads = [(decoded.task, view.register) for view in decoded.views]
        task = self.work.compute(info, reads=reads, writes=taken)
        self.items |= {register: Item(writer=task, value=task) for register in taken}

    def _places(self, i: int) -> dict[str, str]:
        """Return the registers of all tensors of layer ``i``."""
        layer, calls = self.work.model.layers[i], self.work.calls.layers[i]
        wiring = self.work.model.wiring
        names = layer.input_names
        places = dict(zip(names, wiring.inputs[i], strict=True))
        places |= {"y": wiring.outputs[i], "dy": wiring.gradients[i]}
        places |= dict(zip((f"d{name}" for name in names), wiring.input_grads[i], strict=False))
        return places | {t.name: f"{layer.name}.{t.name}" for t in (*calls.kept, *calls.handed)}

    def _backward(self, i: int, passes: Passes) -> None:
        """Append the sum of the output's gradients, and the two gradients of layer ``i``."""
        layer, calls = self.work.model.layers[i], self.work.calls.layers[i]
        self._sum(i)
        if calls.weight_grad:
            self._weight_grad(i, calls.weight_grad, passes)
        if calls.input_grad:
            name = f"{layer.name}.input_grad"
            task = self._fire("backward", name, calls.input_grad, self._places(i), layer=i)
            self._note_reader(i, task, passes)

    def _sum(self, i: int) -> None:
        """Append the additions of the gradients that the readers of layer ``i`` give."""
        wiring, sums = self.work.model.wiring, self.work.calls.layers[i].sums
        total = wiring.gradients[i]
        parts = list(wiring.parts[i])
        if total in parts:
            parts.remove(total)
        for call in sums:
            if call.updates:
                places = {"total": total, "other": parts.pop(0)}
            else:
                places = {"y": total, "x0": parts.pop(0), "x1": parts.pop(0)}
            self._fire("backward", f"{self.work.model.layers[i].name}.sum", call, places)

    def _weight_grad(self, i: int, call: OpCall, passes: Passes) -> None:
        """Write the first microbatch's gradient in place; add every later one to it.

        A borrowed gradient is written before its owner adds its own share to it.
        """
        layer, places = self.work.model.layers[i], self._places(i)
        name = f"{layer.name}.weight_grad"
        if self.number:
            task = self._fire("backward", name, call, places, layer=i, gradient="partial")
            if layer.parameters:
                passes.gradient[i] = self._accumulate(i, task, passes)
            return
        before = [passes.gradient[i]] if i in passes.gradient else []
        task = self._fire(
            "backward", name, call, places, layer=i, gradient="gradients", after=before
        )
        for owner in {i, self.work.model.lenders.get(i, i)}:
            passes.gradient[owner] = task

    def _accumulate(self, i: int, task: int, passes: Passes) -> int:
        """Append the addition of what ``task`` has left in a partial gradient."""
        work, layer = self.work, self.work.model.layers[i]
        elements = layer.parameter_count
        _, register = self._place(i, next(iter(layer.parameters)), "partial")
        info = ComputeTask(
            name=f"{layer.name}.accumulate",
            rank=self.rank,
            phase="backward",
            call=work.calls.add(elements),
            views=(
                work.flat(register, 0, elements),
                work.flat("gradients", work.offsets[i], elements),
            ),
            microbatch=self.number,
        )
        writer = self.items[register].writer
        after = [passes.gradient[i], *([task] if task != writer else [])]
        return work.compute(info, after=after, reads=[(writer, register)])
