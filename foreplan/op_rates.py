"""How ``foreplan bench ops`` measures: kernels of every backend beside PyTorch's, on one thread."""

import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from foreplan import torch_twin
from foreplan.machines import load_machine
from foreplan.op_cases import calls_of, chosen, floor, layer_of
from hwprofiles.errors import BackendUnavailable
from hwprofiles.identity import blas_facts, cpu_model
from planner.lower import lower
from planner.model import load_model
from planner.opcall import OpCall
from planner.plan import Plan, Training
from runtime.backends import Backend, backend, backend_names
from runtime.bind import bind
from runtime.kernels import Stream
from runtime.timing import bound_call

CLUSTER = "v100-quad"
"""Any that prices every op: a program is bound here, not timed by the simulator."""
TORCH = "pytorch"
ROUND_S = 0.02
"""About how long a round of an op takes, if one call takes no longer."""

Run = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRate:
    """One op, or one step, by our backends and in PyTorch itself."""

    op_class: str
    name: str
    phase: str
    seconds: Mapping[str, float]
    """Median CPU time by backend, and by ``pytorch`` where it is installed.

    A backend without a kernel of its own for the op has no entry: NumPy's runs it.
    """
    of_torch: Mapping[str, float]
    """By backend, its speed over PyTorch's: the median of rounds in turn."""

    @property
    def misses(self) -> tuple[str, ...]:
        """Backends below the floor of the class."""
        return tuple(by for by, frac in self.of_torch.items() if frac < floor(self.op_class))

    def row(self) -> dict[str, Any]:
        """Return the fields, flat."""
        return {
            "op_class": self.op_class,
            "name": self.name,
            "phase": self.phase,
            "floor": floor(self.op_class),
            **{f"{by}_s": value for by, value in self.seconds.items()},
            **{f"{by}_of_torch": value for by, value in self.of_torch.items()},
        }


def pytorch() -> Any | None:
    """Return PyTorch set to one thread, or None."""
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return None
    torch.set_num_threads(1)
    return torch


def measured_on() -> dict[str, str]:
    """Return what the rates were measured with."""
    blas, torch = blas_facts(), pytorch()
    libraries = {by.name: by.library for by in available() if by.library}
    return libraries | {
        "cpu": cpu_model(),
        "numpy": np.__version__,
        "blas": f"{blas.library} {blas.version}, {blas.architecture}",
        "torch": torch.__version__ if torch else "",
    }


def available() -> list[Backend]:
    """Return the backends of the host whose libraries are there, NumPy's first."""
    found = []
    for name in sorted(backend_names(), key=lambda name: name != "numpy"):
        try:
            found.append(backend(name))
        except BackendUnavailable:
            continue
    return [each for each in found if each.is_host]


def op_rates(
    rounds: int, progress: Callable[[int, int], None], only: Sequence[str] = ()
) -> Iterator[OpRate]:
    """Measure every op and every step of classes that begin with one of ``only``, if any."""
    torch, by = pytorch(), available()
    ops, steps = chosen(only)
    with threadpool_limits(1):
        for done, (op_class, model, name, samples) in enumerate(ops):
            progress(done, len(ops) + len(steps))
            twins = _twins(torch, model, name, samples) if torch else {}
            for phase, calls in calls_of(model, name, samples).items():
                ran = [b for b in by if any(b.has(call.kernel) for call in calls)]
                runs = {b.name: _together(calls, b) for b in ran}
                shown = f"{model} {name} x {samples}"
                yield _rate(op_class, shown, phase, runs, twins.get(phase), rounds)
        for done, (model, samples, optimizer) in enumerate(steps, len(ops)):
            progress(done, len(ops) + len(steps))
            training = Training(batch=samples, optimizer=optimizer)
            runs = {b.name: (_step(model, training, b), lambda: None) for b in by}
            twin = torch_twin.step(torch, load_model(model), training, samples) if torch else None
            yield _rate("step", f"{model} x {samples}", "step", runs, twin, rounds)


def _twins(torch: Any, model: str, name: str, samples: int) -> Mapping[str, Run]:
    """Return by phase what runs the same in PyTorch."""
    layer, graph = layer_of(model, name), load_model(model)
    if layer is not None:
        return torch_twin.phases(torch, layer, samples)
    if name == "loss":
        run = torch_twin.loss_and_gradient(torch, graph.logit_shapes[0], samples)
        return {"forward and backward": run}
    elements = graph.parameter_count
    if name == "add":
        total, other = torch.randn(elements), torch.randn(elements)
        return {"add": partial(torch.add, total, other, out=total)}
    training = Training(batch=1, optimizer=name)
    return {"update": torch_twin.update(torch, training, elements)}


def _together(calls: list[OpCall], by: Backend) -> tuple[Run, Run]:
    """Return what runs calls one after the other, and what resets their arguments."""
    runs, arrays = [], []
    for call in calls:
        run, fresh = bound_call(call, by=by)
        runs.append(run)
        arrays += fresh
    kept = [array.copy() for array in arrays]

    def reset() -> None:
        """Write again what work in place has changed, and warm what the op before would."""
        for array, values in zip(arrays, kept, strict=True):
            np.copyto(array, values)

    return lambda: [run() for run in runs], reset


def _step(name: str, training: Training, by: Backend) -> Run:
    """Return a step of ours on one worker."""
    model, machine = load_model(name), load_machine(CLUSTER)
    plan = Plan(
        workers=1,
        microbatch=training.batch,
        placement=(0,),
        algorithm="none",
        bucket_bytes=1 << 30,
        overlap=False,
    )
    program = lower(model, training, plan, machine.cluster(1), machine.books(1))
    shape = (training.batch, model.record_bytes)
    records = np.random.default_rng(0).integers(0, 10, shape, np.uint8)
    worker = bind(
        program,
        0,
        None,
        lambda step, microbatch, raw: np.copyto(raw, records),
        lambda step, microbatch, task: Stream(0, step, 0, 0),
        device=by.device(),
    )
    return worker.loop.run


def _rate(
    op_class: str,
    name: str,
    phase: str,
    ours: Mapping[str, tuple[Run, Run]],
    twin: Run | None,
    rounds: int,
) -> OpRate:
    """Time all in turn, as often in a round as makes about 20 ms."""
    runs = dict(ours)
    if twin:
        runs[TORCH] = (twin, lambda: None)
    for body, _ in runs.values():
        body()  # loads libraries and compiled code
    found: dict[str, list[float]] = {key: [] for key in runs}
    calls = {
        key: max(1, int(ROUND_S / max(1e-7, _timed(body, 2)))) for key, (body, _) in runs.items()
    }
    for _ in range(rounds):
        for key, (body, reset) in runs.items():
            reset()
            found[key].append(_timed(body, calls[key]))
    fracs = {
        key: [b / a for a, b in zip(found[key], found.get(TORCH, ()), strict=False)] for key in ours
    }
    return OpRate(
        op_class=op_class,
        name=name,
        phase=phase,
        seconds={key: statistics.median(seconds) for key, seconds in found.items()},
        of_torch={key: statistics.median(values) for key, values in fracs.items() if values},
    )


def _timed(body: Callable[[], object], calls: int) -> float:
    """CPU seconds of a call: all is on one thread, and a busy machine distorts that least."""
    start = time.process_time()
    for _ in range(calls):
        body()
    return (time.process_time() - start) / calls
