"""AmoebaNet-D as GPipe and torchgpipe time it: cells that read the outputs of the two before them.

``amoebanet-d-18-256`` has 18 normal cells and 256 filters (a quarter of them in the first cell, a
factor of two more after every reduction): 122,470,120 parameters. A normal cell joins the states 0,
3, 4 and 6, as the published implementations do where the paper says 4, 5 and 6. Means over windows
of 3x3 count the border; the two halves of a factorized reduction read the same places.

Source: Real, Aggarwal, Huang and Le, AAAI 2019 (arXiv:1802.01548), table of AmoebaNet-D; cells as
in torchgpipe, benchmarks/models/amoebanet, whose sizes are those of Huang et al., GPipe, NeurIPS
2019.
"""

from collections.abc import Iterator, Sequence

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph

NAMES = ("amoebanet-d-18-256",)
SOURCE = "Real et al., AAAI 2019, AmoebaNet-D; cells as in torchgpipe, benchmarks/models/amoebanet"
NORMAL = (
    (1, "conv1"), (1, "mean3"), (1, "none"), (0, "conv7"), (0, "conv1"),
    (0, "conv7"), (2, "mean3"), (2, "none"), (1, "mean3"), (5, "conv1"),
)  # fmt: skip
"""State that each operation of a cell reads, and its kind; two by two they add up to a state."""
REDUCTION = (
    (0, "max2"), (0, "mean3"), (2, "none"), (1, "conv3"), (2, "conv7"),
    (2, "mean3"), (3, "none"), (1, "max2"), (2, "mean3"), (3, "conv1"),
)  # fmt: skip
JOINED = {False: (0, 3, 4, 6), True: (4, 5, 6)}
"""States that a cell gives, by whether it reduces."""


def build(name: str) -> ModelGraph:
    """Return ``amoebanet-d-CELLS-FILTERS``."""
    cells, filters = map(int, name.removeprefix("amoebanet-d-").split("-"))
    row = Row((3, 224, 224))
    row.add("", _network, cells=cells, filters=filters)
    return row.model(name, SOURCE, NORM_GROUP)


def _network(b: BlockBuilder, x: Value, *, cells: int, filters: int) -> Value:
    channels = filters // 4
    x = _conv(b, "stem1", x, channels, 3, stride=2, pad=1)
    before, reduced = x, False
    normal = [False] * (cells // 3)
    for i, reduces in enumerate((True, True, *normal, True, *normal, True, *normal), 2):
        name = f"stem{i}" if i < 4 else f"cell{i - 3}"
        channels <<= reduces
        before, x = x, _cell(b, name, (x, before), channels, reduces=reduces, reduced=reduced)
        reduced = reduces
    x = b.layer("classify.pool", "avg_pool", x, window=x.shape[1])
    return b.layer(
        "classify.output", "linear", b.layer("classify.flat", "flatten", x), features=1000
    )


def _cell(
    b: BlockBuilder,
    name: str,
    inputs: tuple[Value, Value],
    channels: int,
    *,
    reduces: bool,
    reduced: bool,
) -> Value:
    """Append a cell that reads the last cell and the one before, which may be twice as large."""
    last, before = inputs
    states = [_conv(b, f"{name}.reduce1", last, channels, 1)]
    if reduced:
        before = _halved(b, f"{name}.reduce2", before, channels)
    elif before.shape[0] != channels:
        before = _conv(b, f"{name}.reduce2", before, channels, 1)
    states.append(before)
    for i, pair in enumerate(_pairs(REDUCTION if reduces else NORMAL), 2):
        found = [
            _operation(
                b, f"{name}.{i}{side}", kind, states[place], 2 if reduces and place < 2 else 1
            )
            for side, (place, kind) in zip("ab", pair, strict=True)
        ]
        states.append(b.layer(f"{name}.{i}", "add", *found))
    return b.layer(f"{name}.out", "concat", *(states[place] for place in JOINED[reduces]))


def _pairs(operations: Sequence[tuple[int, str]]) -> Iterator[tuple[tuple[int, str], ...]]:
    return zip(operations[::2], operations[1::2], strict=True)


def _operation(b: BlockBuilder, name: str, kind: str, x: Value, stride: int) -> Value:
    channels = x.shape[0]
    match kind:
        case "none":
            return x
        case "mean3":
            return b.layer(name, "avg_pool", x, window=3, stride=stride, pad=1)
        case "max2":
            return b.layer(name, "max_pool", x, window=2, stride=stride)
        case "conv1":
            return _conv(b, name, x, channels, 1, stride=stride)
    x = _conv(b, f"{name}.narrow", x, channels // 4, 1)
    if kind == "conv7":
        x = _conv(b, f"{name}.row", x, channels // 4, 1, kernel_w=7, pad_w=3)
        x = _conv(b, f"{name}.column", x, channels // 4, 7, kernel_w=1, pad=3, pad_w=0)
    else:
        x = _conv(b, f"{name}.square", x, channels // 4, 3, stride=stride, pad=1)
    return _conv(b, f"{name}.wide", x, channels, 1)


def _conv(b: BlockBuilder, name: str, x: Value, channels: int, kernel: int, **attrs: int) -> Value:
    """Append a ReLU, a convolution and a normalisation, in this order."""
    x = b.layer(f"{name}.relu", "relu", x)
    return b.conv_norm(f"{name}.conv", x, channels, kernel, **attrs)


def _halved(b: BlockBuilder, name: str, x: Value, channels: int) -> Value:
    """Append two convolutions with a stride, each of half the channels."""
    x = b.layer(f"{name}.relu", "relu", x)
    halves = [
        b.conv(f"{name}.conv{half}", x, channels // 2, 1, stride=2, bias=0) for half in (1, 2)
    ]
    return b.layer(f"{name}.norm", "batch_norm", b.layer(f"{name}.join", "concat", *halves))
