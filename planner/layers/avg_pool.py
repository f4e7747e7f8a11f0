"""Average pooling over disjoint square windows (LeNet's subsampling without its two weights)."""

from planner.model import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape, *, window: int) -> Shape:
    """Return ``(C, H / window, W / window)``."""
    channels, height, width = in_shape
    return (channels, height // window, width // window)


def parameters(in_shape: Shape, *, window: int) -> dict[str, Shape]:
    """Return none."""
    return {}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y`` = mean of each window of ``x``; one FLOP an input element."""
    x, y = (layer.tensor(name, samples, dtype) for name in "xy")
    return OpCall(
        kernel="avg_pool.forward",
        op_class="avg_pool_forward",
        dtype=dtype,
        flop=x.elements,
        reads=(x,),
        writes=(y,),
        attrs=layer.attrs,
    )


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx`` = ``dy / window^2`` spread over each window; one FLOP an output element."""
    dy, dx = (layer.tensor(name, samples, dtype) for name in ("dy", "dx"))
    return OpCall(
        kernel="avg_pool.input_grad",
        op_class="avg_pool_input_grad",
        dtype=dtype,
        flop=dx.elements,
        reads=(dy,),
        writes=(dx,),
        attrs=layer.attrs,
    )
