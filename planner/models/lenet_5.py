"""LeNet-5 (LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86(11), 1998) on 8x8 digits.

Differences from the paper, each usual today: C3 sees all six maps, subsampling has no weights of
its own, the output is softmax with cross-entropy. 61,706 parameters.
"""

from planner.build import Rows, chain
from planner.model import ModelGraph

NAMES = ("lenet-5",)


def build(name: str) -> ModelGraph:
    """Return LeNet-5; the 8x8 digits are repeated fourfold to its 32x32 input."""
    rows: Rows = [
        ("c1", "conv2d", {"channels": 6, "kernel": 5}),
        ("c1_tanh", "tanh", {}),
        ("s2", "avg_pool", {"window": 2}),
        ("c3", "conv2d", {"channels": 16, "kernel": 5}),
        ("c3_tanh", "tanh", {}),
        ("s4", "avg_pool", {"window": 2}),
        ("flat", "flatten", {}),
        ("c5", "linear", {"features": 120}),
        ("c5_tanh", "tanh", {}),
        ("f6", "linear", {"features": 84}),
        ("f6_tanh", "tanh", {}),
        ("output", "linear", {"features": 10}),
    ]
    return ModelGraph(
        name=name,
        blocks=chain((1, 32, 32), rows),
        record_shape=(8, 8),
        full_scale=16,
        classes=10,
        source="LeCun et al., Proc. IEEE 86(11), 1998, section II.B",
    )
