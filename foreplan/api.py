"""The verbs as Python functions; the command line calls exactly these."""

from foreplan.planfiles import check_plan, machine_of, pick_plan, read_plans
from foreplan.planning import calibrate, models, plan, tool
from foreplan.reporting import read_cases, report, trace
from foreplan.running import execute

__all__ = [
    "calibrate",
    "check_plan",
    "execute",
    "machine_of",
    "models",
    "pick_plan",
    "plan",
    "read_cases",
    "read_plans",
    "report",
    "tool",
    "trace",
]
