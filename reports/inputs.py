"""The section about the input: the stages of a pipeline, and what steps waited for."""

import shlex
from statistics import mean

from hwprofiles.units import format_bytes, format_s
from planner.measurement import InputRun
from planner.plan import Plan, Source
from reports.case import Case, Cases
from reports.parts import Block, Section, each
from reports.tables import Column, table

COLUMNS = (
    Column(key="stage", title="stage"),
    Column(key="work_s", title="busiest server, a step", kind="seconds"),
    Column(key="busy_frac", title="busy", kind="frac"),
)
MEASURED = Column(key="measured_frac", title="busy, measured", kind="frac")


def pipeline(cases: Cases) -> Section:
    """Return how the samples come to the workers, predicted and measured, where one has a pipeline.

    Else a step loads its own records, which its phases tell.
    """
    if not any(case.subject.prediction.input for case in cases):
        return ()
    return each(cases, _pipeline)


def _pipeline(case: Case) -> Block:
    found = case.subject.prediction.input
    if found is None:
        return Block(text=("Each step loads its own records (phase load).",))
    runs = case.measured.executions if case.measured else ()
    run = runs[-1].input if runs else None
    waited = (_waited(run),) if run else ()
    rows = [
        {
            "stage": stage,
            "work_s": seconds,
            "busy_frac": found.busy_frac[stage],
            "measured_frac": run.stages[stage].busy_frac if run and stage in run.stages else None,
        }
        for stage, seconds in found.stages_s.items()
    ]
    plan = case.subject.plan
    text = (
        f"{plan.decode_workers} decode workers for each worker, each with room for"
        f" {plan.prefetch} microbatches before and after decoding"
        f" ({format_bytes(found.ring_bytes)} of memory beside the arena). The stage with most work"
        f" is {found.bottleneck}. For compute never to wait, a worker needs"
        f" {found.needed_workers} of them, and a host reads"
        f" {format_bytes(found.needed_bytes_per_s)}/s; it can read"
        f" {format_bytes(found.disk_bytes_per_s)}/s.",
    )
    columns = [*COLUMNS, *([MEASURED] if run else [])]
    return Block(text=(*text, *waited), tables=(table(rows, columns),))


def _waited(run: InputRun) -> str:
    return (
        f"In the last execution a worker spent {format_s(mean(run.stall_s))} of a step waiting for"
        f" its input or loading it; {format_bytes(run.read_bytes)} were read from the file,"
        f" {format_bytes(run.device_bytes)} of them from the device."
    )


def input_commands(plan: Plan, source: Source, file: str = "plan.json") -> list[str]:
    """Return the command that gives the plan in ``file`` its pipeline, where it has one."""
    if not plan.decode_workers:
        return []
    asked = ["--decode-workers", str(plan.decode_workers), "--prefetch", str(plan.prefetch)]
    if source.throttle_bytes_per_s:
        asked += ["--throttle", f"{round(source.throttle_bytes_per_s)}B/s"]
    asked += ["--cold"] if source.cold else []
    return [f"foreplan input {file} {shlex.join(asked)} -o {file}"]
