"""The step behind a prediction, simulated again from the records alone."""

from dataclasses import dataclass

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.errors import ForeplanError
from hwprofiles.units import PS_PER_S
from planner.lower import lower
from planner.measurement import Trace
from planner.model import load_model
from planner.program import Program
from planner.records import PlanFile, RankedPlan
from sim.engine import simulate
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """The program of a plan, and when its tasks ran."""

    program: Program
    cluster: Cluster
    predicted: Timeline
    measured: Timeline | None
    """One traced step, where the plan has run."""

    @property
    def sides(self) -> dict[str, Timeline]:
        """Return the timelines that there are, by name."""
        both = {"simulated": self.predicted, "measured": self.measured}
        return {name: timeline for name, timeline in both.items() if timeline is not None}


def replay(plans: PlanFile, ranked: RankedPlan, trace: Trace | None = None) -> Replay | None:
    """Lower and simulate a plan again, from the costs in its file.

    A trace brings the measured times and, where the costs of the file are not those of the run,
    the predicted ones. None where the model is not known here, or where the program is another
    than the one that was predicted: what is not the prediction's is not drawn.
    """
    try:
        model, machine = load_model(plans.model), plans.to_machine()
        cluster, books = machine.cluster(ranked.plan.workers), machine.books(ranked.plan.workers)
        program = lower(model, plans.training, ranked.plan, cluster, books)
    except (ForeplanError, LookupError):
        return None
    if trace and trace.task != tuple(program.label(task) for task in range(len(program.tasks))):
        return None
    if program.graph.sha256() == ranked.prediction.graph_sha256:
        predicted = simulate(program.graph)
    elif trace:
        predicted = _timeline(trace.predicted_start_s, trace.predicted_end_s)
    else:
        return None
    measured = _timeline(trace.measured_start_s, trace.measured_end_s) if trace else None
    return Replay(program=program, cluster=cluster, predicted=predicted, measured=measured)


def _timeline(start_s: tuple[float, ...], end_s: tuple[float, ...]) -> Timeline:
    start, end = (np.rint(np.array(s) * PS_PER_S).astype(np.int64) for s in (start_s, end_s))
    return Timeline(start_ps=start, end_ps=end)
