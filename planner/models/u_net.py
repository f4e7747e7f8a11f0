"""U-Net, simplified as torchgpipe times it: five levels of convolutions down and up, with skips.

``u-net-5-64`` has five convolutions a level and 64 channels on the first one, for images of
192 x 192: 232,687,328 parameters, and 48,192 of scale and shift that the original leaves out.
Instance normalisation is a batch normalisation whose group is one sample. Its leaky ReLU are
counted as ReLU, its dropout of whole channels as one of elements. It ends in a logit a pixel, read
as a vector, for a loss of pixels is priced as that of so many classes.

Source: torchgpipe, benchmarks/models/unet (Kim et al., arXiv:2004.09910, 2020), after Ronneberger,
Fischer and Brox, MICCAI 2015.
"""

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph

NAMES = ("u-net-5-64",)
LEVELS = 5
SOURCE = "torchgpipe, benchmarks/models/unet; after Ronneberger et al., MICCAI 2015"


def build(name: str) -> ModelGraph:
    """Return ``u-net-CONVOLUTIONS-CHANNELS``."""
    convolutions, channels = map(int, name.removeprefix("u-net-").split("-"))
    row = Row((3, 192, 192))
    row.add("", _network, convolutions=convolutions, channels=channels)
    return row.model(name, SOURCE)


def _network(b: BlockBuilder, x: Value, *, convolutions: int, channels: int) -> Value:
    skips = []
    for level in range(LEVELS):
        wide = channels << level
        skips.append(_level(b, f"encoder{level + 1}", x, [wide] * convolutions))
        x = b.layer(f"encoder{level + 1}.down", "max_pool", skips[-1], window=2)
    wide, narrow = channels << LEVELS, channels << LEVELS - 1
    x = _level(b, "bottleneck", x, [wide] * (convolutions - 1) + [narrow])
    for level in reversed(range(LEVELS)):
        name = f"decoder{level + 1}"
        x = b.layer(f"{name}.up", "upsample", x)
        x = b.layer(f"{name}.skip", "concat", x, skips[level])
        x = _level(b, name, x, [(channels << level) // 2] * convolutions)
    x = b.conv("segment", x, 1, 1, bias=0)
    return b.layer("pixels", "flatten", x)


def _level(b: BlockBuilder, name: str, x: Value, widths: list[int]) -> Value:
    for i, channels in enumerate(widths, 1):
        x = b.conv(f"{name}.conv{i}", x, channels, 3, pad=1, bias=0)
        x = b.layer(f"{name}.dropout{i}", "dropout", x, percent=10)
        x = b.layer(f"{name}.norm{i}", "batch_norm", x, group=1)
        x = b.layer(f"{name}.relu{i}", "relu", x)
    return x
