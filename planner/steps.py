"""Op calls of a training step that belong to no layer: load, loss, sum."""

from planner.layer import batched
from planner.model import ModelGraph
from planner.opcall import OpCall, Tensor


def load(model: ModelGraph, samples: int, dtype: str) -> OpCall:
    """Read ``samples`` records from the file and decode them to inputs and labels.

    ``raw`` is the landing place of the bytes (n, label + sample), ``x`` the decoded input scaled to
    0-1 and repeated to the model's input size, ``labels`` int64.
    """
    raw = Tensor(name="raw", shape=(samples, model.record_bytes), dtype="uint8")
    x = Tensor(name="x", shape=batched(model.input_shape, samples), dtype=dtype)
    labels = Tensor(name="labels", shape=(samples,), dtype="int64")
    names = ("channels", "height", "width")
    return OpCall(
        kernel="load.records",
        op_class="load",
        dtype=dtype,
        flop=0,
        writes=(x, labels, raw),
        attrs=tuple(zip(names[-len(model.record_shape) :], model.record_shape, strict=True)),
        settings=(("full_scale", model.full_scale),),
    )


def loss(model: ModelGraph, samples: int, dtype: str, batch: int) -> OpCall:
    """Softmax cross-entropy over the global ``batch``: its sum, hits, and the logits' gradient.

    ``stats`` holds (sum of losses / batch, correct answers), float64. Five FLOP a logit.
    """
    logits = Tensor(name="x", shape=(samples, model.classes), dtype=dtype)
    labels = Tensor(name="labels", shape=(samples,), dtype="int64")
    gradient = Tensor(name="dx", shape=logits.shape, dtype=dtype)
    stats = Tensor(name="stats", shape=(2,), dtype="float64")
    return OpCall(
        kernel="softmax_cross_entropy.forward",
        op_class="softmax",
        dtype=dtype,
        flop=5 * logits.elements,
        reads=(logits, labels),
        writes=(gradient, stats),
        settings=(("batch", batch),),
    )


def add(elements: int, dtype: str) -> OpCall:
    """``total += other``: the reducing half of every exchange and of gradient accumulation."""
    other = Tensor(name="other", shape=(elements,), dtype=dtype)
    total = Tensor(name="total", shape=(elements,), dtype=dtype)
    return OpCall(
        kernel="add.accumulate",
        op_class="add",
        dtype=dtype,
        flop=elements,
        reads=(other,),
        updates=(total,),
    )
