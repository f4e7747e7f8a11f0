"""Questions to a plan file as Python functions: why, what if, and what differs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foreplan.planfiles import machine_of, read_plans
from hwprofiles.errors import PlanError
from planner.records import PlanFile, read_record, write_record

if TYPE_CHECKING:
    from planner.explain import Explanation
    from planner.plandiff import Difference
    from planner.whatif import WhatIf


def explain(
    path: Path,
    pick: int = 0,
    *,
    flips: bool = True,
    batches: bool | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> "Explanation":
    """Return why plan ``pick`` of a plan file won or lost, and where the winner changes.

    ``flips`` says whether to look for what would change the answer, which takes longest;
    ``batches`` whether to look for batches with another best choice; by default for small plans.
    """
    from planner.explain import explain as why

    plans = read_plans(path)
    if not 0 <= pick < len(plans.plans):
        raise PlanError(
            f"--pick {pick}: the plan file has plans 0 to {len(plans.plans) - 1}; pick one of them"
        )
    return why(plans, pick, flips=flips, batches=batches, told=progress)


def what_if(
    path: Path,
    settings: Sequence[str],
    *,
    replan: bool = False,
    budget: int | None = None,
    output: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> "WhatIf":
    """Price the plans of a plan file on changed hardware; with ``replan`` search again.

    ``settings`` are ``NAME=VALUE``. The new plan file is written to ``output`` where that is given.
    """
    from planner.whatif import what_if as compare

    found, new = compare(
        read_plans(path), settings, search_again=replan, budget=budget, told=progress
    )
    if output is not None:
        write_record(output, new)
    return found


def diff(a: Path, b: Path) -> tuple["Difference", ...]:
    """Return what differs between two plan files, as they are written."""
    from planner.plandiff import diff as compare

    first, second = (_whole(path) for path in (a, b))
    return compare(first, second)


def _whole(path: Path) -> PlanFile:
    plans = read_record(path, PlanFile, "a plan file")
    if not plans.plans:
        raise PlanError(f"{path}: expected at least one plan, got none; plan again")
    machine_of(path, plans)
    return plans
