"""A pipelined step on one time axis: a lane for each stage, transfers in a strip below it."""

import pandas as pd

from hwprofiles.units import PS_PER_S
from planner.pipeline_graph import PipelineProgram
from reports.spans import EXCHANGE
from reports.time_figure import Panel, timeline_figure
from sim.timeline import Timeline

PHASES = {"send": EXCHANGE, "return": EXCHANGE}
"""How the figure of steps calls phases that have another name here."""


def pipeline_figure(title: str, program: PipelineProgram, timeline: Timeline, stages: int) -> str:
    """Return the SVG; passes bear the number of their microbatch where it fits."""
    spans = pd.DataFrame(
        {
            "rank": [task.stage for task in program.tasks],
            "phase": [PHASES.get(task.phase, task.phase) for task in program.tasks],
            "task": [_name(task.microbatch) for task in program.tasks],
            "start_s": timeline.start_ps / PS_PER_S,
            "end_s": timeline.end_ps / PS_PER_S,
        }
    )
    shown = spans[spans["phase"] != "load"]
    return timeline_figure([Panel(title=title, spans=shown, ranks=stages)], lanes="stage")


def _name(microbatch: int) -> str:
    return "" if microbatch < 0 else str(microbatch)
