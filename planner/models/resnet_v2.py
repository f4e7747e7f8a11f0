"""ResNetV2: residual blocks that normalise and rectify before each convolution.

Source: He, Zhang, Ren and Sun, ECCV 2016, figure 4e; sizes as in timm's ``resnetv2_50``, which has
the stride in the 3x3 convolution. 25,549,352 to 60,185,128 parameters.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph
from planner.models.resnet import STAGES

NAMES = ("resnet-v2-101", "resnet-v2-152", "resnet-v2-50")


def build(name: str) -> ModelGraph:
    """Return one network of the family."""
    row = Row((3, 224, 224))
    row.add("stem", _stem)
    for i, count in enumerate(STAGES[int(name.rpartition("-")[2])]):
        stride = 1 if i == 0 else 2
        row.add(f"stage{i + 1}.first", _block, channels=256 << i, stride=stride)
        row.add(f"stage{i + 1}", _block, count=count - 1, channels=256 << i, stride=1)
    row.add("classifier", _classifier)
    return row.model(name, "He et al., ECCV 2016, figure 4e; sizes as in timm", NORM_GROUP)


def _stem(b: BlockBuilder, x: Value) -> Value:
    x = b.conv("conv1", x, 64, 7, stride=2, pad=3, bias=0)
    return b.layer("pool1", "max_pool", x, window=3, stride=2, pad=1)


def _block(b: BlockBuilder, x: Value, *, channels: int, stride: int) -> Value:
    ready = b.norm_relu("norm1", x)
    y = b.conv("conv1", ready, channels // 4, 1, bias=0)
    y = b.norm_relu("norm2", y)
    y = b.conv("conv2", y, channels // 4, 3, stride=stride, pad=1, bias=0)
    y = b.conv("conv3", b.norm_relu("norm3", y), channels, 1, bias=0)
    if x.shape != y.shape:
        x = b.conv("project", ready, channels, 1, stride=stride, bias=0)
    return b.layer("add", "add", y, x)


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.norm_relu("norm", x)
    x = b.layer("pool", "avg_pool", x, window=x.shape[1])
    return b.layer("output", "linear", b.layer("flat", "flatten", x), features=1000)
