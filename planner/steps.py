"""Op calls of a training step that belong to no layer: load, loss, sum."""

from dataclasses import replace
from math import prod

from planner.layer import batched
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES, OpCall, Tensor
from planner.precision import scales_loss, scaling


def load(model: ModelGraph, samples: int, dtype: str) -> OpCall:
    """Read ``samples`` records from the file and decode them to inputs and labels.

    ``raw`` is the landing place of the bytes (n, record), ``labels`` are int64. ``x`` is the input
    decoded: pixels scaled to 0-1 and repeated to the model's size, or tokens as int64 numbers.
    """
    raw = Tensor(name="raw", shape=(samples, model.record_bytes), dtype="uint8")
    is_text = model.reads_tokens
    shape = batched(model.input_shape, samples)
    x = Tensor(name="x", shape=shape, dtype="int64" if is_text else dtype)
    labels = _labels(model, samples)
    if is_text:
        item_bytes = DTYPE_BYTES[model.record_dtype]
        return OpCall(
            kernel="load.tokens",
            op_class="load_tokens",
            dtype=dtype,
            flop=0,
            writes=(x, labels, raw),
            attrs=(("item_bytes", item_bytes), ("shifted", int(model.next_token))),
        )
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

    The loss of a sample is the mean over its labels; of several heads, the sum of theirs.
    ``stats`` holds (sum of losses / batch, correct answers), float64. Five FLOP a logit. The
    gradient of float16 is scaled (``planner.precision``), the loss is not.
    """
    several, scaled = len(model.heads) > 1, scales_loss(dtype)
    logits = tuple(
        Tensor(name=f"x{i}" if several else "x", shape=(samples, *shape), dtype=dtype)
        for i, shape in enumerate(model.logit_shapes)
    )
    gradients = tuple(replace(t, name=f"d{t.name}") for t in logits)
    stats = Tensor(name="stats", shape=(2,), dtype="float64")
    return OpCall(
        kernel=f"softmax_cross_entropy.{'scaled_' * scaled}{'heads' if several else 'forward'}",
        op_class="softmax",
        dtype=dtype,
        flop=5 * sum(t.elements for t in logits),
        reads=(*logits, _labels(model, samples), *(scaling(),) * scaled),
        writes=(*gradients, stats),
        settings=(("batch", batch),),
    )


def record_limits(model: ModelGraph) -> tuple[int, ...]:
    """Return what each number of a record of text is below: its labels, then its sample.

    >>> from planner.model import load_model
    >>> record_limits(load_model("bert-base:4"))
    (2, 30522, 30522, 30522, 30522, 30522, 2, 2, 2, 2, 4)
    """
    limits = [model.numbers_below] * prod(model.input_shape)
    for layer, producers in zip(model.layers, model.producers, strict=True):
        for name, producer in zip(layer.input_names, producers, strict=True):
            if producer < 0 and name in layer.indices:
                first = dict(layer.attrs).get("first", 0)
                for i in range(first, first + layer.out_shape[0]):
                    limits[i] = min(limits[i], layer.indices[name])
    if model.next_token:
        return (*limits, model.classes)
    labels = [shape[-1] for shape in model.logit_shapes for _ in range(prod(shape[:-1]))]
    return (*labels, *limits)


def _labels(model: ModelGraph, samples: int) -> Tensor:
    """Return the labels: one a sample is (n,), several are (n, labels), head after head."""
    shape = (samples,) if model.labels == 1 else (samples, model.labels)
    return Tensor(name="labels", shape=shape, dtype="int64")


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
