"""Small real records for the tests of the pages: a searched plan file, and a run made by hand."""

from dataclasses import replace
from functools import cache

import foreplan
from planner.measurement import ArenaProof, Execution, Measurement, OpTimes, Split, Trace, Verdict
from planner.model import load_model
from planner.plan import Training
from planner.predict import predict
from planner.program import ComputeTask
from planner.published.fitted import DATASHEET
from planner.records import PlanFile, RankedPlan
from reports.case import Case, Cases, pair
from reports.page import render

STRETCH = 1.25
"""Every measured time is this many times the predicted one."""


@cache
def plan_file() -> PlanFile:
    """The best plans of a small model on a shipped cluster of four GPUs."""
    return foreplan.plan("lenet-5", "v100-quad", Training(batch=64), top=3, software=DATASHEET)


@cache
def measured_case() -> Case:
    """The plan file with its measurement."""
    return Case(plans=plan_file(), measured=measurement())


@cache
def comparison() -> Cases:
    """Three exchanges of the same model on the same cluster, one of them measured."""
    training = plan_file().training
    others = [
        foreplan.plan(
            "lenet-5", "v100-quad", training, top=2, fixed={"algorithm": name}, software=DATASHEET
        )
        for name in ("star", "tree")
    ]
    return pair([*others, plan_file()], [measurement()])


@cache
def piped_case() -> Case:
    """The best plan with decode workers beside each of its workers."""
    plans = plan_file()
    plan = replace(plans.plans[0].plan, decode_workers=2, prefetch=2)
    prediction, _, _ = predict(load_model(plans.model), plans.training, plan, plans.to_machine())
    ranked = RankedPlan(label=plan.label, plan=plan, prediction=prediction)
    return Case(plans=replace(plans, plans=(ranked,)))


@cache
def measured_pages() -> tuple[str, str]:
    """The page of the run and its twin."""
    return render((measured_case(),))


@cache
def compared_pages() -> tuple[str, str]:
    """The page of the comparison and its twin."""
    return render(comparison())


@cache
def measurement() -> Measurement:
    """A run of the best plan in which everything took a quarter longer."""
    plans = plan_file()
    ranked = plans.plans[0]
    prediction, program, timeline = predict(
        load_model(plans.model), plans.training, ranked.plan, plans.to_machine()
    )
    start = tuple((timeline.start_ps / 1e12).tolist())
    end = tuple((timeline.end_ps / 1e12).tolist())
    ops = {
        (task.phase, task.call.signature): b - a
        for task, a, b in zip(program.tasks, start, end, strict=True)
        if isinstance(task, ComputeTask)
    }
    step_s = STRETCH * prediction.step_s
    return Measurement(
        schema=plans.schema,
        tool=plans.tool,
        model=plans.model,
        cluster=plans.cluster,
        training=plans.training,
        ranked=ranked,
        executions=tuple(_execution(i, step_s, prediction.arena_bytes) for i in range(2)),
        step_s=step_s,
        error_frac=prediction.step_s / step_s - 1,
        split=Split(
            predicted_s=prediction.step_s,
            solo_s=1.1 * prediction.step_s,
            traced_s=1.3 * prediction.step_s,
            measured_s=step_s,
        ),
        ops=tuple(
            OpTimes(
                signature=signature,
                phase=phase,
                firings=ranked.plan.workers,
                predicted_s=seconds,
                solo_s=1.1 * seconds,
                traced_s=STRETCH * seconds,
            )
            for (phase, signature), seconds in ops.items()
        ),
        phases_s={name: STRETCH * s for name, s in prediction.phases_s.items()},
        trace=Trace(
            task=tuple(program.label(i) for i in range(len(program.tasks))),
            ranks=tuple(task.ranks for task in program.tasks),
            phase=tuple(task.phase for task in program.tasks),
            predicted_start_s=start,
            predicted_end_s=end,
            measured_start_s=tuple(STRETCH * s for s in start),
            measured_end_s=tuple(STRETCH * s for s in end),
        ),
        check=Verdict(
            claim_frac=0.6,
            gate=1.0,
            error_frac=prediction.step_s / step_s - 1,
            valid=True,
            void_reasons=("attempt 1: sentinels moved 7.1% (at most 5%)",),
            passed=True,
        ),
        environment={"identity": {"device": "V100", "lanes": 4}, "python": "3.11.7"},
        arena=ArenaProof(steps=3, unpacked_bytes=(9_000_000,) * 2, beside_bytes=(70_000, 71_000)),
    )


def _execution(index: int, step_s: float, arena_bytes: tuple[int, ...]) -> Execution:
    before = {
        "add.accumulate(64;64)float32": (1e-6, 1.1e-6),
        "tanh.forward(8)float32": (2e-6, 2e-6),
    }
    return Execution(
        step_s=step_s,
        step_p90_s=1.2 * step_s,
        step_iqr_s=0.1 * step_s,
        steps=20,
        sentinels_before_s=before,
        sentinels_after_s={name: tuple(1.02 * s for s in t) for name, t in before.items()},
        losses=tuple(2.3 * 0.9**step for step in range(30)),
        test_accuracy=0.95 + 0.01 * index,
        training_s=30 * step_s,
        arena_bytes=arena_bytes,
        arena_intact=True,
        parameters_sha256="0123456789abcdef",
    )


def hostile(text: str) -> tuple[PlanFile, Measurement]:
    """The same records with ``text`` as the name of everything a file can name."""
    plans, measured = plan_file(), measurement()
    ranked = replace(plans.plans[0], label=text)
    named = replace(plans, model=text, cluster=text, tool=text, plans=(ranked, *plans.plans[1:]))
    assert measured.trace is not None
    trace = replace(measured.trace, task=(text,) * len(measured.trace.task))
    op = replace(measured.ops[0], signature=text, phase=text)
    run = replace(measured.executions[0], sentinels_before_s={text: (1e-6,)}, sentinels_after_s={})
    return named, replace(
        measured,
        model=text,
        ranked=ranked,
        trace=trace,
        ops=(op, *measured.ops[1:]),
        executions=(run,),
        phases_s={**measured.phases_s, text: 1e-6},
        environment={text: text},
    )
