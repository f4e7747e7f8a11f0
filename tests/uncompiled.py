"""The array engine as plain Python: the same functions, run without Numba, on lists."""

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numba
import numpy as np

from sim.fair import NONE
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline
from sim.waits import deadlock

PARTS = ("state", "layout", "queues", "lanes", "events", "flows", "run")


class PlainEngine:
    """Modules of its own, so a test may put a fault into one of them."""

    def __init__(self) -> None:
        names = [n for n in sys.modules if n == "sim.array_engine" or n.startswith("sim.arrays.")]
        kept = {name: sys.modules.pop(name) for name in names}
        disabled = numba.config.DISABLE_JIT
        numba.config.DISABLE_JIT = True
        try:
            self.engine = import_module("sim.array_engine")
            self.parts: dict[str, ModuleType] = {
                part: import_module(f"sim.arrays.{part}") for part in PARTS
            }
        finally:
            numba.config.DISABLE_JIT = disabled
            for name in [
                n for n in sys.modules if n.startswith(("sim.array_engine", "sim.arrays."))
            ]:
                del sys.modules[name]
            sys.modules.update(kept)
            for name, module in kept.items():
                package, _, stem = name.rpartition(".")
                setattr(sys.modules[package], stem, module)

    def replace(self, name: str, function: object) -> None:
        """Put a function in the place of one of this name, wherever it is called."""
        for module in (self.engine, *self.parts.values()):
            if hasattr(module, name):
                setattr(module, name, function)

    def simulate(self, graph: TaskGraph) -> Timeline:
        fields = self.parts["layout"].lay_out(graph)._asdict()
        lists = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}
        state = SimpleNamespace(**lists)
        lane = self.parts["run"].run(state)
        if lane != NONE:
            raise self.engine.too_long(self.engine.beyond_s(state, lane))
        ended = [end_ps >= 0 for end_ps in state.end_ps]
        if not all(ended):
            raise deadlock(graph, ended, ended)
        return Timeline.from_lists(state.start_ps, state.end_ps)
