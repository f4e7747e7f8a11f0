"""VGG networks: 3x3 convolutions in five stages, then the classifier of AlexNet.

Source: Simonyan and Zisserman, ICLR 2015, table 1 (A, B, D and E). 132,863,336 to 143,667,240
parameters. Those called ``-bn`` normalise after every convolution, as torchvision's do.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph
from planner.models.alexnet import classifier

CONVOLUTIONS = {
    "vgg-11": (1, 1, 2, 2, 2),
    "vgg-13": (2, 2, 2, 2, 2),
    "vgg-16": (2, 2, 3, 3, 3),
    "vgg-19": (2, 2, 4, 4, 4),
}
"""Convolutions of each stage."""
SOURCE = "Simonyan and Zisserman, ICLR 2015, table 1"
CHANNELS = (64, 128, 256, 512, 512)
NAMES = (*CONVOLUTIONS, *(f"{name}-bn" for name in CONVOLUTIONS))


def build(name: str) -> ModelGraph:
    """Return one of the VGG networks."""
    row = Row((3, 224, 224))
    plain, normed = name.removesuffix("-bn"), int(name.endswith("-bn"))
    for i, (count, channels) in enumerate(zip(CONVOLUTIONS[plain], CHANNELS, strict=True), 1):
        row.add(f"stage{i}", _stage, convolutions=count, channels=channels, normed=normed)
    row.add("classifier", classifier)
    return row.model(name, SOURCE, NORM_GROUP if normed else 1)


def _stage(b: BlockBuilder, x: Value, *, convolutions: int, channels: int, normed: int) -> Value:
    for i in range(1, convolutions + 1):
        if normed:
            x = b.norm_relu(f"norm{i}", b.conv(f"conv{i}", x, channels, 3, pad=1))
        else:
            x = b.conv_relu(f"conv{i}", x, channels, 3, pad=1)
    return b.layer("pool", "max_pool", x, window=2)
