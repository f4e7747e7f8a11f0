"""Layers: shapes per sample, parameters, and the op calls of one kind of work."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from math import prod
from types import ModuleType

from hwprofiles.registry import lookup, names
from planner.opcall import Attrs, OpCall, Tensor

Shape = tuple[int, ...]

INPUT = "input"
"""Name by which layers read what their block takes; in the flat list, what the model takes."""

MODEL_INPUT = "model input"
"""Name by which layers of any block read what the model takes."""

NORM_GROUP = 32
"""Samples that share the statistics of a batch normalisation, on every plan."""


def batched(shape: Shape, samples: int) -> Shape:
    """Shape of ``samples`` of a per-sample shape: ``(C, H, W, n)`` for maps, else ``(n, ...)``."""
    return (*shape, samples) if len(shape) == 3 else (samples, *shape)


@cache
def kind_module(kind: str) -> ModuleType:
    """Return the module of a layer kind."""
    lookup("layer kind", kind, names("planner.layers"))
    return import_module(f"planner.layers.{kind}")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a model; the kind's module in ``planner.layers`` knows its work."""

    name: str
    kind: str
    in_shapes: tuple[Shape, ...]
    attrs: tuple[tuple[str, int], ...] = ()
    inputs: tuple[str, ...] = (INPUT,)
    """Layers whose outputs it reads, in the order of ``in_shapes``."""
    tied: str = ""
    """Layer, by its full name, that owns the parameters it borrows."""

    @property
    def module(self) -> ModuleType:
        """Return the module of the layer's kind."""
        return kind_module(self.kind)

    @property
    def work(self) -> tuple[object, ...]:
        """What its op calls depend on: equal layers do the same work."""
        return self.kind, self.in_shapes, self.attrs

    @property
    def in_shape(self) -> Shape:
        """Per-sample shape of the first input."""
        return self.in_shapes[0]

    @cached_property
    def out_shape(self) -> Shape:
        """Per-sample shape of the output."""
        shape: Shape = self.module.out_shape(*self.in_shapes, **dict(self.attrs))
        return shape

    @cached_property
    def parameters(self) -> Mapping[str, Shape]:
        """Shapes of the parameters by name (``w``, ``b``), in the order they lie in memory."""
        return self._shapes("parameters")

    @cached_property
    def borrowed(self) -> Mapping[str, Shape]:
        """Shapes of the parameters that it uses and the layer it is tied to owns, by name."""
        return self._shapes("borrowed")

    @property
    def is_trained(self) -> bool:
        """Whether it gives a gradient of parameters, its own or borrowed."""
        return bool(self.parameters or self.borrowed)

    @cached_property
    def indices(self) -> Mapping[str, int]:
        """Inputs that are int64 numbers, by name, and what they are below."""
        found: Mapping[str, int] = getattr(self.module, "indices", lambda _: {})(self)
        return found

    @cached_property
    def moments(self) -> Mapping[str, Shape]:
        """Shapes of what inference needs and training does not (running moments), by name."""
        return self._shapes("moments")

    def _shapes(self, what: str) -> Mapping[str, Shape]:
        if not hasattr(self.module, what):
            return {}
        shapes: Mapping[str, Shape] = getattr(self.module, what)(
            *self.in_shapes, **dict(self.attrs)
        )
        return shapes

    @cached_property
    def parameter_count(self) -> int:
        """Number of parameters of this layer."""
        return sum(prod(shape) for shape in self.parameters.values())

    @cached_property
    def moment_count(self) -> int:
        """Number of running moments of this layer."""
        return sum(prod(shape) for shape in self.moments.values())

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of its input tensors: ``x``, or ``x0``, ``x1``, ... where there are several."""
        several = len(self.in_shapes) > 1
        return tuple(f"x{i}" if several else "x" for i in range(len(self.in_shapes)))

    @property
    def writes_in_place(self) -> bool:
        """Whether its kernels may write ``y`` over the first input, and ``dx`` over ``dy``."""
        return getattr(self.module, "IN_PLACE", False)

    @property
    def is_training_only(self) -> bool:
        """Whether a trained model leaves it out: its output is then its input."""
        return getattr(self.module, "TRAINING_ONLY", False)

    @property
    def passes_gradient(self) -> bool:
        """Whether the gradient of each input is the gradient of the output itself."""
        return not hasattr(self.module, "input_grad")

    def tensor(self, name: str, samples: int, dtype: str) -> Tensor:
        """Return the tensor called ``name`` (``x``, ``y``, ``w``, ``dw``, ...) of this layer."""
        base = name.removeprefix("d")
        if base in self.indices:
            shape = batched(self.in_shapes[self.input_names.index(base)], samples)
            return Tensor(name=name, shape=shape, dtype="int64", below=self.indices[base])
        if base == "y":
            shape = batched(self.out_shape, samples)
        elif base in self.input_names:
            shape = batched(self.in_shapes[self.input_names.index(base)], samples)
        else:
            shape = self.parameters[base] if base in self.parameters else self.borrowed[base]
        return Tensor(name=name, shape=shape, dtype=dtype)

    def elements(self, name: str, samples: int) -> int:
        """Number of elements of the tensor called ``name``."""
        return self.tensor(name, samples, "float32").elements

    def call(self, phase: str, samples: int, dtype: str) -> OpCall:
        """Return the op call of ``phase``: ``forward``, ``weight_grad`` or ``input_grad``."""
        call: OpCall = getattr(self.module, phase)(self, samples, dtype)
        return call

    def op(
        self,
        phase: str,
        samples: int,
        dtype: str,
        arguments: str,
        *,
        flop: int,
        attrs: Attrs = (),
        others: Mapping[str, Shape] | None = None,
    ) -> OpCall:
        """Return the call of this kind's kernel for ``phase``.

        ``arguments`` names its tensors, ``"reads | updates -> writes ~ work"``, where updates and
        work may be left out; ``others`` gives the shapes of those that are no input, output or
        parameter.
        """

        def tensors(side: str) -> tuple[Tensor, ...]:
            return tuple(
                Tensor(name=name, shape=others[name], dtype=dtype)
                if others and name in others
                else self.tensor(name, samples, dtype)
                for name in side.split()
            )

        read, _, written = arguments.partition("->")
        written, _, work = written.partition("~")
        read, _, updated = read.partition("|")
        return OpCall(
            kernel=f"{self.kind}.{phase}",
            op_class=getattr(self.module, "OP_CLASS", f"{self.kind}_{phase}"),
            dtype=dtype,
            flop=flop,
            reads=tensors(read),
            updates=tensors(updated),
            writes=tensors(written),
            work=tensors(work),
            attrs=attrs,
        )
