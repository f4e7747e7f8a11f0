"""AlexNet, as published (two groups, local response normalisation), in one tower, and for 32x32.

``alexnet`` is the network of the paper with the 227x227 input that its sizes imply: 60,965,224
parameters. The table of convnet-burden holds a variant without response normalisation: 3 MB of
features and 727 million multiply-adds, where the paper's has 4.8 MB and 729 million.
``alexnet-owt`` is that of Krizhevsky's "One weird trick", in the sizes that benchmarks use:
61,100,840 parameters. ``alexnet-cifar`` is the "small AlexNet" of Zhang et al., whose 64 maps are
those of the TensorFlow tutorial that they start from, with AlexNet's dropout in its two hidden
layers; here it reads the 8x8 digits, repeated to its 32x32 input. 1,756,426 parameters.
``alexnet-ungrouped`` is the paper's in one group, as MXNet and Paddle have timed it: 62,378,344
parameters. ``overfeat`` is the fast model of that paper, ``cifar10-quick`` a network of Caffe's
examples (Paddle's SmallNet): 145,578 parameters.
"""

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph

NAMES = (
    "alexnet",
    "alexnet-cifar",
    "alexnet-owt",
    "alexnet-ungrouped",
    "cifar10-quick",
    "overfeat",
)
SOURCES = {
    "alexnet": "Krizhevsky, Sutskever and Hinton, NeurIPS 2012, section 3.5",
    "alexnet-cifar": "Zhang et al., arXiv:1611.03530 (ICLR 2017), appendix A; dropout of AlexNet",
    "alexnet-ungrouped": "Krizhevsky et al., NeurIPS 2012, in one group as in Paddle (2016)",
    "cifar10-quick": "Caffe, examples/cifar10, cifar10_quick_train_test.prototxt",
    "overfeat": "Sermanet et al., arXiv:1312.6229 (2014), fast model; as in convnet-benchmarks",
    "alexnet-owt": "Krizhevsky, arXiv:1404.5997 (2014); sizes as in soumith/convnet-benchmarks",
}


def build(name: str) -> ModelGraph:
    """Return one of the AlexNets."""
    if name == "alexnet-cifar":
        row = Row((3, 32, 32))
        row.add("features", _small)
        row.add("classifier", classifier, fc6=384, fc7=192, classes=10)
        return row.model(name, SOURCES[name], record_shape=(8, 8), full_scale=16)
    if name == "cifar10-quick":
        row = Row((3, 32, 32))
        row.add("features", _quick)
        return row.model(name, SOURCES[name])
    if name == "overfeat":
        row = Row((3, 231, 231))
        row.add("features", _fast)
        row.add("classifier", classifier, fc6=3072)
        return row.model(name, SOURCES[name])
    if name == "alexnet-owt":
        row = Row((3, 224, 224))
        row.add("features", _one_tower)
    else:
        row = Row((3, 227, 227))
        row.add("features", _published, groups=2 if name == "alexnet" else 1)
    row.add("classifier", classifier)
    return row.model(name, SOURCES[name])


def _published(b: BlockBuilder, x: Value, *, groups: int) -> Value:
    x = b.conv_relu("conv1", x, 96, 11, stride=4)
    x = b.layer("norm1", "lrn", x, size=5)
    x = b.layer("pool1", "max_pool", x, window=3, stride=2)
    x = b.conv_relu("conv2", x, 256, 5, pad=2, groups=groups)
    x = b.layer("norm2", "lrn", x, size=5)
    x = b.layer("pool2", "max_pool", x, window=3, stride=2)
    x = b.conv_relu("conv3", x, 384, 3, pad=1)
    x = b.conv_relu("conv4", x, 384, 3, pad=1, groups=groups)
    x = b.conv_relu("conv5", x, 256, 3, pad=1, groups=groups)
    return b.layer("pool5", "max_pool", x, window=3, stride=2)


def _one_tower(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_relu("conv1", x, 64, 11, stride=4, pad=2)
    x = b.layer("pool1", "max_pool", x, window=3, stride=2)
    x = b.conv_relu("conv2", x, 192, 5, pad=2)
    x = b.layer("pool2", "max_pool", x, window=3, stride=2)
    x = b.conv_relu("conv3", x, 384, 3, pad=1)
    x = b.conv_relu("conv4", x, 256, 3, pad=1)
    x = b.conv_relu("conv5", x, 256, 3, pad=1)
    return b.layer("pool5", "max_pool", x, window=3, stride=2)


def _fast(b: BlockBuilder, x: Value) -> Value:
    x = b.conv_relu("conv1", x, 96, 11, stride=4)
    x = b.layer("pool1", "max_pool", x, window=2)
    x = b.conv_relu("conv2", x, 256, 5)
    x = b.layer("pool2", "max_pool", x, window=2)
    for i, channels in enumerate((512, 1024, 1024), 3):
        x = b.conv_relu(f"conv{i}", x, channels, 3, pad=1)
    return b.layer("pool5", "max_pool", x, window=2)


def _quick(b: BlockBuilder, x: Value) -> Value:
    x = b.layer("pool1", "max_pool", b.conv("conv1", x, 32, 5, pad=2), window=3, stride=2, pad=1)
    x = b.layer("relu1", "relu", x)
    for i, channels in ((2, 32), (3, 64)):
        x = b.conv_relu(f"conv{i}", x, channels, 5, pad=2)
        x = b.layer(f"pool{i}", "avg_pool", x, window=3, stride=2, pad=1)
    x = b.layer("ip1", "linear", b.layer("flat", "flatten", x), features=64)
    return b.layer("ip2", "linear", x, features=10)


def _small(b: BlockBuilder, x: Value) -> Value:
    for i in (1, 2):
        x = b.conv_relu(f"conv{i}", x, 64, 5, pad=2)
        x = b.layer(f"pool{i}", "max_pool", x, window=3, stride=2, ceil=1)
        x = b.layer(f"norm{i}", "lrn", x, size=5)
    return x


def classifier(
    b: BlockBuilder, x: Value, *, fc6: int = 4096, fc7: int = 4096, classes: int = 1000
) -> Value:
    """Append two hidden layers with dropout, and the output."""
    x = b.layer("flat", "flatten", x)
    for name, features in (("fc6", fc6), ("fc7", fc7)):
        x = b.linear_relu(name, x, features)
        x = b.layer(f"{name}_dropout", "dropout", x, percent=50)
    return b.layer("fc8", "linear", x, features=classes)
