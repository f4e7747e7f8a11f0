"""One microbatch on one worker: load, forward, loss and backward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from planner.lowering import Lowering, Passes
from planner.opcall import OpCall
from planner.program import ComputeTask, View


@dataclass(slots=True)
class Microbatch:
    """Load, forward, loss and backward of one microbatch on one rank."""

    work: Lowering
    rank: int
    number: int
    last_writer: dict[str, int] = field(default_factory=dict)

    def _view(self, register: str, shape: tuple[int, ...], dtype: str) -> View:
        slots = {r.name: r.slots for r in self.work.registers[self.rank]}[register]
        slot = self.number % max(1, slots)
        return View(register=register, slot=slot, offset_bytes=0, shape=shape, dtype=dtype)

    def _fire(
        self,
        phase: str,
        name: str,
        call: OpCall,
        places: Mapping[str, str],
        *,
        layer: int = -1,
        gradient: str = "",
    ) -> int:
        """Append one firing: ``places`` maps tensor names to registers, parameters excepted."""
        views, reads, writes = [], [], []
        written = {t.name for t in call.writes}
        workspace_at = 0
        for tensor in call.tensors:
            if tensor.name in ("w", "b", "dw", "db"):
                register = gradient if tensor.name.startswith("d") else "parameters"
                views.append(self.work.parameter(layer, tensor.name, register))
                continue
            register = places[tensor.name]
            if register == "workspace":
                views.append(
                    View(
                        register=register,
                        slot=0,
                        offset_bytes=workspace_at,
                        shape=tensor.shape,
                        dtype=tensor.dtype,
                    )
                )
                workspace_at += tensor.size_bytes
            else:
                views.append(self._view(register, tensor.shape, tensor.dtype))
            if tensor.name in written:
                writes.append(register)
            else:
                reads.append((self.last_writer[register], register))
        writes = list(dict.fromkeys(writes))
        info = ComputeTask(
            name=name,
            rank=self.rank,
            phase=phase,
            call=call,
            views=tuple(views),
            microbatch=self.number,
        )
        taken = [*writes, "partial"] if gradient == "partial" else writes
        task = self.work.compute(info, reads=reads, writes=taken)
        self.last_writer.update(dict.fromkeys(writes, task))
        return task

    def append(self, passes: Passes) -> None:
        """Append the whole microbatch and note what the exchange must know."""
        work = self.work
        self._fire("load", "load", work.calls.load, {"x": "x", "labels": "labels", "raw": "raw"})
        inputs = ["x", *(f"{layer.name}.y" for layer in work.model.layers)]
        for i, (layer, calls) in enumerate(zip(work.model.layers, work.calls.layers, strict=True)):
            places = {"x": inputs[i], "y": inputs[i + 1]}
            places |= {t.name: f"{layer.name}.{t.name}" for t in calls.kept}
            task = self._fire("forward", layer.name, calls.forward, places, layer=i)
            passes.readers.setdefault(i, []).append(task)
        places = {"x": inputs[-1], "labels": "labels", "dx": "loss.dx", "stats": "loss.stats"}
        self._fire("forward", "loss", work.calls.loss, places)
        for i in reversed(range(len(work.model.layers))):
            self._backward(i, inputs, passes)

    def _backward(self, i: int, inputs: Sequence[str], passes: Passes) -> None:
        """Append the weight gradient and the input gradient of layer ``i``."""
        layers, calls = self.work.model.layers, self.work.calls.layers[i]
        layer = layers[i]
        above = f"{layers[i + 1].name}.dx" if i + 1 < len(layers) else "loss.dx"
        places = {"x": inputs[i], "y": inputs[i + 1], "dy": above, "dx": f"{layer.name}.dx"}
        places |= {t.name: f"{layer.name}.{t.name}" for t in calls.kept}
        if calls.weight_grad:
            self._weight_grad(i, calls.weight_grad, places, passes)
        if calls.input_grad:
            extra = {t.name: "workspace" for t in calls.input_grad.writes[1:]}
            name = f"{layer.name}.input_grad"
            task = self._fire("backward", name, calls.input_grad, places | extra, layer=i)
            passes.readers.setdefault(i, []).append(task)

    def _weight_grad(self, i: int, call: OpCall, places: Mapping[str, str], passes: Passes) -> None:
        """Write the first microbatch's gradient in place; add every later one to it."""
        work, layer = self.work, self.work.model.layers[i]
        name = f"{layer.name}.weight_grad"
        if self.number == 0:
            passes.gradient[i] = self._fire(
                "backward", name, call, places, layer=i, gradient="gradients"
            )
            return
        task = self._fire("backward", name, call, places, layer=i, gradient="partial")
        elements = layer.parameter_count
        info = ComputeTask(
            name=f"{layer.name}.accumulate",
            rank=self.rank,
            phase="backward",
            call=work.calls.add(elements),
            views=(
                work.flat("partial", 0, elements),
                work.flat("gradients", work.offsets[i], elements),
            ),
            microbatch=self.number,
        )
        passes.gradient[i] = work.compute(
            info, after=[passes.gradient[i]], reads=[(task, "partial")]
        )
