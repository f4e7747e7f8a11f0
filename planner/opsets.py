"""Sets of op calls: those a plan needs, those that curves are fitted to, and the sentinels."""

from collections.abc import Iterable
from dataclasses import replace

from hwprofiles.units import MIB
from planner.build import BlockBuilder, Rows, Value, chain
from planner.calls import StepCalls
from planner.input_calls import stage_calls
from planner.landings import added_widths
from planner.layer import INPUT, Layer, Shape
from planner.layer_calls import layer_calls
from planner.model import Block, ModelGraph
from planner.opcall import OpCall
from planner.optimizer import optimizer_names, update
from planner.plan import Plan, Source, Training
from planner.precision import judge, scales_loss
from planner.registers import plan_buckets
from planner.space import Constraints, plan_space
from planner.steps import add, load, loss

OF_CONVNETS: tuple[tuple[str, dict[str, int]], ...] = (
    ("batch_norm", {"group": 4}),
    ("relu", {}),
    ("max_pool", {"window": 3, "stride": 2, "pad": 1}),
    ("lrn", {"size": 5}),
    ("dropout", {"percent": 30}),
)
"""Kinds of convnets that curves are fitted to at the same sizes, and how they are used."""

ONCE_A_STEP = ("load", "softmax_cross_entropy")
"""Kinds whose code other layers do not keep warm."""

FIT_REUSE_BYTES = 12 * MIB
"""Coldness at which curves are fitted: what a step of a small model moves."""


def plan_calls(model: ModelGraph, training: Training, plan: Plan) -> dict[str, OpCall]:
    """Return the distinct op calls of one plan, by signature, in the order of a step."""
    step = StepCalls.of(model, training, plan)
    calls = list(step.inputs.all) if step.inputs else [step.load]
    for layer in step.layers:
        calls += layer.fired
    calls.append(step.loss)
    if plan.microbatches(training.batch) > 1:
        calls += [step.add(x.parameter_count) for x in model.layers if x.parameters]
    for bucket in plan_buckets(model, training, plan):
        calls.append(step.update(bucket.elements))
        if plan.workers > 1:
            calls += [
                step.add(n) for n in added_widths(plan.algorithm, plan.workers, bucket.elements)
            ]
    if scales_loss(training.dtype):
        calls.append(step.judge(model.parameter_count))
    return {call.signature: call for call in calls}


def space_calls(
    model: ModelGraph, training: Training, workers: int, least_microbatch: int
) -> dict[str, OpCall]:
    """Return the op calls of every plan on ``workers`` devices with microbatches that large."""
    found: dict[str, OpCall] = {}
    one = {"workers": workers, "input_slots": 1, "landing_slots": 1, "overlap": False}
    for plan in plan_space(model, training, workers, constraints=Constraints(fixed=one)).plans():
        divides = training.batch % (workers * plan.microbatch) == 0
        if divides and plan.microbatch >= least_microbatch:
            found |= plan_calls(model, training, plan)
    return found


def general_calls(dtype: str) -> dict[str, OpCall]:
    """Return the op calls that curves are fitted to: each kind, sizes of no particular model."""
    calls: list[OpCall] = []
    for inputs, features, samples in (
        (24, 40, 8),
        (96, 32, 24),
        (48, 200, 40),
        (160, 96, 16),
        (300, 150, 48),
        (400, 400, 12),
        (600, 24, 56),
        (700, 300, 28),
        (1024, 700, 80),
    ):
        calls += _phases("linear", (inputs,), samples, dtype, features=features)
    for channels, size, maps, kernel, samples in (
        (1, 12, 4, 3, 8),
        (1, 28, 8, 5, 24),
        (3, 20, 12, 3, 12),
        (4, 16, 24, 5, 20),
        (8, 14, 16, 3, 40),
        (16, 10, 32, 3, 24),
        (12, 24, 24, 5, 12),
    ):
        shape = (channels, size, size)
        calls += _phases("conv2d", shape, samples, dtype, channels=maps, kernel=kernel)
    for channels, size, samples in ((4, 8, 4), (6, 12, 12), (8, 24, 20), (16, 20, 48)):
        shape = (channels, size, size)
        for kind, attrs in OF_CONVNETS:
            calls += _phases(kind, shape, samples, dtype, **attrs)
        calls += _phases("tanh", shape, samples, dtype)
        calls += _phases("flatten", shape, samples, dtype)
        calls += _phases("avg_pool", shape, samples, dtype, window=2)
    for tokens, features, heads, vocab, samples in (
        (24, 48, 3, 90, 2),
        (40, 80, 5, 200, 6),
        (72, 96, 6, 300, 10),
        (56, 144, 4, 700, 24),
    ):
        calls += _text(tokens, features, heads, vocab, samples, dtype)
    for elements in (100, 3000, 20_000, 100_000, 400_000):
        calls.append(add(elements, dtype))
        calls += [judge(elements, dtype)] * scales_loss(dtype)
        for name in optimizer_names():
            calls.append(update(Training(batch=1, dtype=dtype, optimizer=name), elements))
    for samples, size, classes in ((6, 24, 8), (20, 32, 12), (48, 16, 20), (100, 40, 14)):
        calls += _ends(samples, size, classes, dtype)
    cold = [
        replace(call, reuse_bytes=FIT_REUSE_BYTES, cold_code=call.kind in ONCE_A_STEP)
        for call in calls
    ]
    return {call.signature: call for call in cold}


def _layer(kind: str, in_shape: Shape, **attrs: int) -> Layer:
    return Layer(name=kind, kind=kind, in_shapes=(in_shape,), attrs=tuple(sorted(attrs.items())))


def _phases(kind: str, in_shape: Shape, samples: int, dtype: str, **attrs: int) -> Iterable[OpCall]:
    layer = _layer(kind, in_shape, **attrs)
    phases = ("forward", "weight_grad", "input_grad") if layer.parameters else ()
    return [layer.call(p, samples, dtype) for p in phases or ("forward", "input_grad")]


def _text(
    tokens: int, features: int, heads: int, vocab: int, samples: int, dtype: str
) -> list[OpCall]:
    """Return every op of a small causal decoder of one block, which has an LSTM too."""
    b = BlockBuilder(Value(INPUT, (tokens,)))
    x = b.layer("tokens", "embedding", b.input, vocab=vocab, features=features, tied=1)
    x = b.layer("positions", "positions", x, positions=tokens)
    y = b.attention(b.layer("norm", "layer_norm", x), heads, causal=1)
    y = b.feed_forward(b.layer("add", "add", x, y), 3 * features)
    y = b.layer("memory", "lstm", y, features=features)
    b.tied("logits", "tokens", y, vocab=vocab)
    model = ModelGraph(
        name="fit",
        blocks=(Block(name="", layers=tuple(b.layers)),),
        record_shape=(tokens,),
        classes=vocab,
        next_token=True,
    )
    fired = [call for layer in layer_calls(model, samples, dtype) for call in layer.fired]
    return [load(model, samples, dtype), *fired, loss(model, samples, dtype, samples)]


def _ends(samples: int, size: int, classes: int, dtype: str) -> list[OpCall]:
    """Return a load of 4x8 records (as maps and as vectors), its stages, and a loss."""
    rows: Rows = [("flat", "flatten", {}), ("dense", "linear", {"features": classes})]
    models = [
        ModelGraph(name="fit", blocks=blocks, record_shape=(4, 8), classes=classes)
        for blocks in (chain((1, size, size), rows), chain((32,), rows[1:]))
    ]
    loads = [load(m, samples, dtype) for m in models]
    packed = Training(batch=samples, dtype=dtype, source=Source(encoding="zlib", stored_bytes=48))
    plain = Training(batch=samples, dtype=dtype)
    stages = [call for each in loads for call in stage_calls(each, plain).all]
    stages += [stage_calls(each, packed).decode for each in loads]
    return [*loads, *stages, loss(models[0], samples, dtype, samples)]


def sentinels() -> dict[str, OpCall]:
    """Return three ops whose times say whether the machine is as it was: matmul, tanh, add."""
    calls = [
        _layer("linear", (256,), features=256).call("forward", 256, "float32"),
        _layer("tanh", (1 << 10,)).call("forward", 128, "float32"),
        add(1 << 18, "float32"),
    ]
    return {call.signature: call for call in calls}
