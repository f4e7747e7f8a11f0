"""What ``foreplan bench ops`` measures: our kernels beside PyTorch's, on one thread each."""

import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from foreplan import torch_twin
from foreplan.machines import load_machine
from planner.layer import Layer
from planner.lower import lower
from planner.model import load_model
from planner.opcall import OpCall
from planner.plan import Plan, Training
from runtime.bind import bind
from runtime.kernels import Stream
from runtime.timing import bound_call

CLUSTER = "v100-quad"
"""Any that prices every op: a program is bound here, not timed by the simulator."""

Row = tuple[str, str, str, int]

OPS: tuple[Row, ...] = (
    ("matmul", "mlp", "h2", 64),
    ("matmul", "alexnet", "classifier.fc6", 128),
    ("matmul", "alexnet", "classifier.fc7", 32),
    ("convolution 1x1", "resnet-50", "stage1.0.conv1", 32),
    ("convolution 1x1", "resnet-50", "stage3.0.conv3", 32),
    ("convolution 3x3", "resnet-50", "stage1.0.conv2", 32),
    ("convolution 3x3", "resnet-50", "stage3.0.conv2", 32),
    ("convolution 3x3", "vgg-16", "stage5.conv1", 32),
    ("convolution 5x5", "lenet-5", "c1", 32),
    ("convolution 5x5", "lenet-5", "c3", 32),
    ("convolution 5x5", "alexnet-owt", "features.conv2", 32),
    ("convolution 11x11", "alexnet", "features.conv1", 32),
    ("batch norm", "resnet-50", "stage1.0.conv3_norm", 32),
    ("batch norm", "resnet-50", "stage3.0.conv2_norm", 32),
    ("local response norm", "alexnet", "features.norm2", 32),
    ("max pool", "resnet-50", "stem.pool1", 32),
    ("average pool", "lenet-5", "s2", 32),
    ("tanh", "lenet-5", "c1_tanh", 32),
    ("relu", "resnet-50", "stem.conv1_norm_relu", 32),
    ("add", "resnet-50", "stage1.0.add", 32),
)
"""Class, model, layer, samples."""

STEPS: tuple[tuple[str, int], ...] = (("lenet-5", 32), ("mlp", 32))
"""Models whose whole step is compared, and samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRate:
    """One op, or one step, beside the same in PyTorch."""

    op_class: str
    name: str
    phase: str
    seconds: float
    torch_s: float | None
    """None where PyTorch is not installed."""
    of_torch: float | None
    """Our speed over PyTorch's: the median of rounds in turn."""

    def row(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def pytorch() -> Any | None:
    """Return PyTorch set to one thread, or None."""
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return None
    torch.set_num_threads(1)
    return torch


def op_rates(rounds: int, progress: Callable[[int, int], None]) -> Iterator[OpRate]:
    """Measure every op and every step, one after the other."""
    torch = pytorch()
    with threadpool_limits(1):
        for done, (op_class, model, name, samples) in enumerate(OPS):
            progress(done, len(OPS) + len(STEPS))
            layer = {x.name: x for x in load_model(model).layers}[name]
            twins = torch_twin.phases(torch, layer, samples) if torch else {}
            for phase, (run, reset) in _phases(layer, samples).items():
                shown = f"{model} {name} x {samples}"
                yield _rate(op_class, shown, phase, run, twins.get(phase), rounds, reset)
        for done, (model, samples) in enumerate(STEPS, len(OPS)):
            progress(done, len(OPS) + len(STEPS))
            run, twin = _step(model, samples, torch)
            yield _rate("step", f"{model} x {samples}", "step", run, twin, rounds)


def _phases(
    layer: Layer, samples: int
) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Return by phase what runs our kernels of ``layer``, and what resets their arguments."""
    kinds = ("weight_grad",) * bool(layer.parameters) + ("input_grad",) * hasattr(
        layer.module, "input_grad"
    )
    found = {"forward": _together([layer.call("forward", samples, "float32")])}
    if kinds:
        found["backward"] = _together([layer.call(kind, samples, "float32") for kind in kinds])
    return found


def _together(calls: list[OpCall]) -> tuple[Callable[[], object], Callable[[], object]]:
    runs, arrays = [], []
    for call in calls:
        run, fresh = bound_call(call)
        runs.append(run)
        arrays += fresh
    kept = [array.copy() for array in arrays]

    def reset() -> None:
        """Write again what work in place has changed, and warm what the op before would."""
        for array, values in zip(arrays, kept, strict=True):
            np.copyto(array, values)

    return lambda: [run() for run in runs], reset


def _step(
    name: str, samples: int, torch: Any | None
) -> tuple[Callable[[], object], Callable[[], object] | None]:
    """Return our step on one worker, and PyTorch's."""
    model, training = load_model(name), Training(batch=samples)
    machine = load_machine(CLUSTER)
    plan = Plan(
        workers=1,
        microbatch=samples,
        placement=(0,),
        algorithm="none",
        bucket_bytes=1 << 30,
        overlap=False,
    )
    program = lower(model, training, plan, machine.cluster(1), machine.books(1))
    records = np.random.default_rng(0).integers(0, 10, (samples, model.record_bytes), np.uint8)
    worker = bind(
        program,
        0,
        None,
        lambda step, microbatch, raw: np.copyto(raw, records),
        lambda step, microbatch, task: Stream(0, step, 0, 0),
    )
    return worker.loop.run, torch_twin.step(torch, model, training, samples) if torch else None


def _rate(
    op_class: str,
    name: str,
    phase: str,
    run: Callable[[], object],
    twin: Callable[[], object] | None,
    rounds: int,
    reset: Callable[[], object] = lambda: None,
) -> OpRate:
    """Time both in turn, as often in a round as makes about 20 ms."""
    runs: Mapping[str, Callable[[], object]] = {"ours": run, **({"torch": twin} if twin else {})}
    found: dict[str, list[float]] = {key: [] for key in runs}
    calls = {key: max(1, int(0.02 / max(1e-7, _timed(body, 2)))) for key, body in runs.items()}
    for _ in range(rounds):
        for key, body in runs.items():
            reset()
            found[key].append(_timed(body, calls[key]))
    fracs = [b / a for a, b in zip(found["ours"], found.get("torch", ()), strict=False)]
    return OpRate(
        op_class=op_class,
        name=name,
        phase=phase,
        seconds=statistics.median(found["ours"]),
        torch_s=statistics.median(found["torch"]) if twin else None,
        of_torch=statistics.median(fracs) if fracs else None,
    )


def _timed(body: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        body()
    return (time.perf_counter() - start) / calls
