"""Op calls: one kernel, its tensors and its work. The unit that is priced, timed and run."""

from dataclasses import dataclass
from math import prod

from hwprofiles.tiles import Chain, Product

DTYPE_BYTES = {"uint8": 1, "uint16": 2, "uint32": 4, "int64": 8, "bfloat16": 2, "float16": 2}
DTYPE_BYTES |= {"tf32": 4, "float32": 4, "float64": 8}
PIECE = 1 << 15
"""Elements that an op of several passes takes at a time, so that they stay in a cache."""
TRAINING_DTYPES = ("float32", "float64", "float16", "bfloat16", "tf32")
"""``tf32`` is float32 whose products are computed with ten bits of mantissa on matrix units."""

Attrs = tuple[tuple[str, int | float], ...]
"""Keyword arguments of a kernel, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A named array as a kernel sees it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    below: int = 0
    """Of integers that index something: what they are below. 0: no such ones."""

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the array."""
        return self.elements * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCall:
    """One call of ``runtime/kernels/FILE.py:FUNCTION`` with stated shapes.

    The kernel is called as ``FUNCTION(*reads, *updates, *writes, *work, **attrs)`` and writes into
    what it is given; it allocates nothing of weight.
    """

    kernel: str
    """``FILE.FUNCTION``, e.g. ``conv2d.forward``."""
    op_class: str
    """Which fitted curve prices it: matmul, conv, elementwise, copy, ..."""
    dtype: str
    flop: int
    """Multiply-add = 2 FLOP; 0 where the op only moves bytes."""
    reads: tuple[Tensor, ...] = ()
    updates: tuple[Tensor, ...] = ()
    """Read and written in place."""
    writes: tuple[Tensor, ...] = ()
    work: tuple[Tensor, ...] = ()
    """Workspace, of no meaning before and after; small enough to stay in a cache."""
    attrs: Attrs = ()
    """Keyword arguments that change the work (a stride), so part of the signature."""
    settings: Attrs = ()
    """Keyword arguments that do not change the work (a learning rate)."""
    work_class: str = "memory"
    """What of a peak it reaches, on devices that are known by published runs."""
    channels: int = 0
    """The smaller side of a convolution's product of matrices; 0 where it does not matter."""
    product: Product | None = None
    """The product of matrices that it is; None where it is none, or many small ones."""
    chain: Chain | None = None
    """The small products among its own that wait for one another, if it has such ones."""
    reread_bytes: int = 0
    """What is read a second time, because it is too large to be still in a cache."""
    untouched_bytes: int = 0
    """What is given and not touched: rows of a table that nobody asks for."""
    reuse_bytes: int = 0
    """What the worker touches between two firings: how cold operands are. 0: all warm."""
    cold_code: bool = False
    """Whether code of its kind is as cold as its operands, for it ran that long ago."""
    in_place: bool = False
    """Whether what it writes first lies over what it reads (``over``): less memory is touched."""

    @property
    def kind(self) -> str:
        """What it shares code with: the file of its kernel."""
        return self.kernel.partition(".")[0]

    @property
    def moved_bytes(self) -> int:
        """Every element touched once for a read and once for a write, and what is read again."""
        once = sum(t.size_bytes for t in (*self.reads, *self.writes))
        twice = 2 * sum(t.size_bytes for t in self.updates)
        return once + twice + self.reread_bytes - self.untouched_bytes

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Arguments in the order the kernel takes them."""
        return (*self.reads, *self.updates, *self.writes, *self.work)

    @property
    def signature(self) -> str:
        """Name of the op in the op store: kernel, shapes, attributes, dtype, coldness.

        >>> x = Tensor(name="x", shape=(2, 3), dtype="float32")
        >>> OpCall(kernel="tanh.forward", op_class="tanh", dtype="float32", flop=6,
        ...        reads=(x,), writes=(x,)).signature
        'tanh.forward(2x3;2x3)float32'
        """
        shapes = ";".join("x".join(map(str, t.shape)) for t in self.tensors)
        attrs = "".join(f",{key}={value}" for key, value in self.attrs)
        how = f"{',code' * self.cold_code}{',over' * self.in_place}"
        cold = f"@{self.reuse_bytes >> 10}KiB{how}" if self.reuse_bytes else ""
        return f"{self.kernel}({shapes}{attrs}){self.dtype}{cold}"

    @property
    def over(self) -> int:
        """Position of the read that an op in place writes over: the gradient, else the first."""
        return next((i for i, t in enumerate(self.reads) if t.name == "dy"), 0)

    @property
    def fresh(self) -> tuple[int, ...]:
        """Positions of the tensors that the op before has just written, so that they are warm.

        A chain hands on its activations (``x``) forward and their gradients (``dy``) backward; an
        addition gets what has just arrived (``other``).
        """
        return tuple(i for i, t in enumerate(self.reads) if t.name in ("dy", "other")) or tuple(
            i for i, t in enumerate(self.reads) if t.name == "x"
        )
