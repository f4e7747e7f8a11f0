"""What ``foreplan bench ops`` times: at least one op of every kind, and steps of models that train.

The runnable models' own layers come first, then those of larger ones for kinds and sizes that these
have not.
"""

from collections.abc import Sequence

from hwprofiles.errors import ProfileError
from planner.layer import Layer
from planner.model import load_model
from planner.opcall import OpCall
from planner.optimizer import update
from planner.plan import Training
from planner.steps import add, loss

Row = tuple[str, str, str, int]
Step = tuple[str, int, str]

OPS: tuple[Row, ...] = (
    ("matmul", "mlp", "h2", 64),
    ("matmul", "gpt-nano", "block.0.qkv", 32),
    ("matmul", "gpt-nano", "logits.tokens", 32),
    ("matmul", "alexnet", "classifier.fc6", 128),
    ("matmul", "alexnet", "classifier.fc7", 32),
    ("convolution 1x1", "resnet-50", "stage1.0.conv1", 32),
    ("convolution 1x1", "resnet-50", "stage3.0.conv3", 32),
    ("convolution 3x3", "resnet-20", "stage1.0.conv1", 32),
    ("convolution 3x3", "resnet-20", "stage3.1.conv2", 32),
    ("convolution 3x3", "resnet-50", "stage1.0.conv2", 32),
    ("convolution 3x3", "resnet-50", "stage3.0.conv2", 32),
    ("convolution 3x3", "vgg-16", "stage5.conv1", 32),
    ("convolution 5x5", "lenet-5", "c1", 32),
    ("convolution 5x5", "lenet-5", "c3", 32),
    ("convolution 5x5", "alexnet-cifar", "features.conv2", 32),
    ("convolution 5x5", "alexnet-owt", "features.conv2", 32),
    ("convolution 11x11", "alexnet", "features.conv1", 32),
    ("attention", "gpt-nano", "block.0.attention", 32),
    ("attention", "bert-base", "block.0.attention", 4),
    ("lstm", "lstm-nano", "memory.0.lstm", 32),
    ("layer norm", "gpt-nano", "block.0.norm1", 32),
    ("layer norm", "bert-base", "block.0.norm1", 4),
    ("batch norm", "resnet-20", "stage1.0.conv1_norm", 32),
    ("batch norm", "resnet-50", "stage1.0.conv3_norm", 32),
    ("batch norm", "resnet-50", "stage3.0.conv2_norm", 32),
    ("local response norm", "alexnet-cifar", "features.norm1", 32),
    ("local response norm", "alexnet", "features.norm2", 32),
    ("max pool", "alexnet-cifar", "features.pool1", 32),
    ("max pool", "resnet-50", "stem.pool1", 32),
    ("average pool", "lenet-5", "s2", 32),
    ("tanh", "lenet-5", "c1_tanh", 32),
    ("relu", "alexnet-cifar", "features.conv1_relu", 32),
    ("relu", "resnet-50", "stem.conv1_norm_relu", 32),
    ("gelu", "gpt-nano", "block.0.gelu", 32),
    ("silu", "efficientnet-b0", "stem.conv1_silu", 8),
    ("sigmoid", "efficientnet-b0", "stage1.first.squeeze_gate", 32),
    ("gate", "efficientnet-b0", "stage1.first.gate", 8),
    ("dropout", "alexnet-cifar", "classifier.fc6_dropout", 64),
    ("dropout", "bert-base", "embed.dropout", 4),
    ("add", "gpt-nano", "block.0.add1", 32),
    ("add", "resnet-50", "stage1.0.add", 32),
    ("upsample", "u-net-5-64", "decoder5.up", 8),
    ("concat", "googlenet", "inception3a.out", 32),
    ("flatten", "alexnet-cifar", "classifier.flat", 64),
    ("embedding", "gpt-nano", "embed.tokens", 32),
    ("embedding", "gpt-nano", "embed.positions", 32),
    ("tokens", "bert-base", "heads.masked", 16),
    ("tokens", "bert-base", "heads.first", 16),
    ("loss", "lenet-5", "loss", 64),
    ("loss", "gpt-nano", "loss", 32),
    ("update", "gpt-nano", "adamw", 1),
    ("update", "alexnet-cifar", "sgd", 1),
    ("exchange", "alexnet-cifar", "add", 1),
)
"""Class, model, layer (or ``loss``, an optimizer, ``add`` of gradients), samples."""

STEPS: tuple[Step, ...] = (
    ("lenet-5", 32, "sgd"),
    ("mlp", 32, "sgd"),
    ("alexnet-cifar", 64, "sgd"),
    ("resnet-20", 32, "sgd"),
    ("gpt-nano", 16, "adamw"),
)
"""Models whose whole step is compared, samples, optimizer."""


def chosen(only: Sequence[str]) -> tuple[list[Row], list[Step]]:
    """Return the ops and steps of classes that begin with one of ``only``; all where it is empty.

    Raises
    ------
    ProfileError
        When no class begins so.

    >>> ops, steps = chosen(["convolution 1x1", "step"])
    >>> [name for _, _, name, _ in ops], len(steps)
    (['stage1.0.conv1', 'stage3.0.conv3'], 5)
    """
    classes = list(dict.fromkeys([*(row[0] for row in OPS), "step"]))
    for asked in only:
        if not any(one.startswith(asked) for one in classes):
            raise ProfileError(f"--only {asked!r}: expected the beginning of {', '.join(classes)}")
    wanted = tuple(only) or ("",)
    ops = [row for row in OPS if row[0].startswith(wanted)]
    return ops, [*STEPS] if "step".startswith(wanted) else []


FLOORS = {"matmul": 1.0, "step": 0.7}
CONVOLUTION_FLOOR, OTHER_FLOOR = 0.6, 0.5
"""Least speed over PyTorch's that is asked for, by class."""


def floor(op_class: str) -> float:
    """Return the least speed over PyTorch's that an op of a class must have.

    >>> floor("matmul"), floor("convolution 3x3"), floor("tanh")
    (1.0, 0.6, 0.5)
    """
    is_convolution = op_class.startswith("convolution")
    return FLOORS.get(op_class, CONVOLUTION_FLOOR if is_convolution else OTHER_FLOOR)


def layer_of(model: str, name: str) -> Layer | None:
    """Return the layer of a row, None where it is of no layer."""
    return {layer.name: layer for layer in load_model(model).layers}.get(name)


def calls_of(model: str, name: str, samples: int) -> dict[str, list[OpCall]]:
    """Return the op calls of a row by phase, as they are without coldness."""
    layer, dtype = layer_of(model, name), "float32"
    if layer is None:
        graph = load_model(model)
        if name == "loss":
            return {"forward and backward": [loss(graph, samples, dtype, samples)]}
        if name == "add":
            return {"add": [add(graph.parameter_count, dtype)]}
        return {"update": [update(Training(batch=1, optimizer=name), graph.parameter_count)]}
    kinds = ("weight_grad",) * layer.is_trained + ("input_grad",) * hasattr(
        layer.module, "input_grad"
    )
    found = {"forward": [layer.call("forward", samples, dtype)]}
    if kinds:
        found["backward"] = [layer.call(kind, samples, dtype) for kind in kinds]
    return found
