"""VGG networks: 3x3 convolutions in five stages, then the classifier of AlexNet.

Source: Simonyan and Zisserman, ICLR 2015, table 1 (A, D and E). 132,863,336, 138,357,544 and
143,667,240 parameters.
"""

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph
from planner.models.alexnet import classifier

CONVOLUTIONS = {
    "vgg-11": (1, 1, 2, 2, 2),
    "vgg-16": (2, 2, 3, 3, 3),
    "vgg-19": (2, 2, 4, 4, 4),
}
"""Convolutions of each stage."""
CHANNELS = (64, 128, 256, 512, 512)
NAMES = tuple(CONVOLUTIONS)


def build(name: str) -> ModelGraph:
    """Return one of the VGG networks."""
    row = Row((3, 224, 224))
    for i, (count, channels) in enumerate(zip(CONVOLUTIONS[name], CHANNELS, strict=True), 1):
        row.add(f"stage{i}", _stage, convolutions=count, channels=channels)
    row.add("classifier", classifier)
    return row.model(name, "Simonyan and Zisserman, ICLR 2015, table 1")


def _stage(b: BlockBuilder, x: Value, *, convolutions: int, channels: int) -> Value:
    for i in range(1, convolutions + 1):
        x = b.conv_relu(f"conv{i}", x, channels, 3, pad=1)
    return b.layer("pool", "max_pool", x, window=2)
