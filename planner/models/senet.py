"""SENet-154: grouped bottlenecks with squeeze-and-excitation, the winner of ILSVRC 2017.

Source: Hu, Shen and Sun, CVPR 2018, section 6.4; sizes as in timm's ``legacy_senet154``:
115,088,984 parameters.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import NORM_GROUP
from planner.model import ModelGraph
from planner.models.resnet import excited

NAMES = ("senet-154",)
STAGES = (3, 8, 36, 3)
GROUPS = 64


def build(name: str) -> ModelGraph:
    """Return SENet-154."""
    row = Row((3, 224, 224))
    row.add("stem", _stem)
    for i, count in enumerate(STAGES):
        stride = 1 if i == 0 else 2
        row.add(f"stage{i + 1}.first", _bottleneck, channels=256 << i, stride=stride)
        row.add(f"stage{i + 1}", _bottleneck, count=count - 1, channels=256 << i, stride=1)
    row.add("classifier", _classifier)
    return row.model(name, "Hu et al., CVPR 2018, section 6.4; as in timm", NORM_GROUP)


def _stem(b: BlockBuilder, x: Value) -> Value:
    for i, channels in enumerate((64, 64, 128), 1):
        x = b.conv_norm_relu(f"conv{i}", x, channels, 3, stride=2 if i == 1 else 1, pad=1)
    return b.layer("pool1", "max_pool", x, window=3, stride=2, ceil=1)


def _bottleneck(b: BlockBuilder, x: Value, *, channels: int, stride: int) -> Value:
    """Append a residual block, whose projection is a 3x3 convolution where it has a stride."""
    y = b.conv_norm_relu("conv1", x, channels // 2, 1)
    y = b.conv_norm_relu("conv2", y, channels, 3, stride=stride, pad=1, groups=GROUPS)
    y = excited(b, b.conv_norm("conv3", y, channels, 1))
    if x.shape != y.shape:
        size = {"stride": stride, "pad": 1} if stride > 1 else {}
        x = b.conv_norm("project", x, channels, 3 if stride > 1 else 1, **size)
    return b.layer("relu", "relu", b.layer("add", "add", y, x))


def _classifier(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("pool", "avg_pool", x, window=x.shape[1])
    x = b.layer("dropout", "dropout", b.layer("flat", "flatten", x), percent=20)
    return b.layer("output", "linear", x, features=1000)
