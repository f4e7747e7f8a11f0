"""A multilayer perceptron on 8x8 digits: 64 - 512 - 512 - 10 with tanh. 301,066 parameters."""

from planner.build import Rows, chain
from planner.model import ModelGraph

NAMES = ("mlp",)


def build(name: str) -> ModelGraph:
    """Return the perceptron; it takes the 64 pixels as a vector."""
    rows: Rows = [
        ("h1", "linear", {"features": 512}),
        ("h1_tanh", "tanh", {}),
        ("h2", "linear", {"features": 512}),
        ("h2_tanh", "tanh", {}),
        ("output", "linear", {"features": 10}),
    ]
    return ModelGraph(
        name=name,
        blocks=chain((64,), rows),
        record_shape=(8, 8),
        full_scale=16,
        classes=10,
        source="Rumelhart, Hinton and Williams, Nature 323, 1986",
    )
