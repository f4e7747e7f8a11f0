"""Execute a plan: run the workers, compare with the prediction, and check the claim."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwprofiles.grade import Grade
from hwprofiles.units import PS_PER_S, to_ps
from planner.jsonable import to_jsonable
from planner.lower import lower
from planner.measurement import (
    Execution,
    Measurement,
    Replay,
    Split,
    Trace,
    Verdict,
)
from planner.model import load_model
from planner.predict import INTERVAL_FRAC, phase_seconds
from planner.program import ComputeTask, StageTask, TransferTask
from planner.records import SCHEMA, PlanFile, RankedPlan
from runtime.backends import backend
from runtime.drift import drift, spread
from runtime.launch import TIMEOUT_S, Launch, launch
from runtime.outcome import arena_proof, execution
from runtime.replay import WORDS
from runtime.substitution import Substitution, op_times
from runtime.watch import Progress
from sim.heap_engine import simulate
from sim.timeline import Timeline

CHECK_DRIFT_FRAC = 0.05
"""During a check: sentinels that moved more than this make the run void."""
CHECK_RANKS_FRAC = 0.10
"""During a check: ranks whose sentinels differ more than this make the run void."""
EXECUTIONS = 5
TRACED = 20
"""Steps that are traced, if as many are timed."""
ATTEMPTS = 3
"""A void run is repeated at most twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Which checkpoints to write, and which one to begin with."""

    folder: Path
    every: int = 0
    """Steps between two; 0 writes none."""
    resume: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run."""

    train: Path
    test: Path
    cores: tuple[int, ...]
    steps: int = 100
    warmup: int = 10
    traced: int = TRACED
    timeout_s: float = TIMEOUT_S
    expected_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Sentinel times of the calibration; a run whose own differ is refused. Empty: any will do."""
    parameters: Path | None = None
    """Where to save the trained parameters (.npy, layer order)."""
    checkpoints: Checkpoints | None = None
    prove: bool = False
    """Whether the last execution first proves that its arenas are needed, enough, and safe."""
    start: Launch = launch
    """How workers are started."""
    backend: str = "numpy"
    """Whose kernels run."""
    replay: int | None = None
    """The one rank that runs, if its peers are to be stubbed."""


def run_once(
    plans: PlanFile,
    pick: int,
    options: Options,
    *,
    detailed: bool,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Run one plan once; ``detailed`` adds traced steps and every op alone."""
    plan = plans.plans[pick].plan
    record = plans.machine.get(plan.workers, plans.machine.get(0))
    job = {
        "kind": "train",
        "cores": list(options.cores),
        "identity": dict(record.identity) if record else {},
        "backend": options.backend,
        "plans": to_jsonable(plans),
        "pick": pick,
        "train": str(options.train.resolve()),
        "test": str(options.test.resolve()),
        "steps": options.steps,
        "warmup": options.warmup,
        "traced": options.traced if detailed else 0,
        "solo": detailed,
        "prove": options.prove and detailed,
        "sentinels": backend(options.backend).is_host,
        "expected": {name: list(times) for name, times in options.expected_s.items()},
        "parameters": str(options.parameters.resolve()) if options.parameters else "",
        "checkpoints": _asked(options.checkpoints),
        "replay": options.replay,
    }
    answer: dict[str, Any] = options.start(
        job,
        plan.workers if options.replay is None else 1,
        timeout_s=options.timeout_s,
        progress=progress,
    )
    return answer


def _asked(checkpoints: Checkpoints | None) -> dict[str, Any] | None:
    """Return checkpoints as a job names them."""
    if checkpoints is None:
        return None
    resume = checkpoints.resume
    return {
        "folder": str(checkpoints.folder.resolve()),
        "every": checkpoints.every,
        "resume": str(resume.resolve()) if resume else "",
    }


def void_reasons(runs: list[Execution], gate: float) -> tuple[str, ...]:
    """Say why a set of runs does not count; empty when it does."""
    reasons = []
    moved = drift(runs[0].sentinels_before_s, runs[-1].sentinels_after_s)
    if moved > CHECK_DRIFT_FRAC * gate:
        reasons.append(f"sentinels moved {moved:.1%} (at most {CHECK_DRIFT_FRAC * gate:.0%})")
    apart = max(spread(runs[0].sentinels_before_s), spread(runs[-1].sentinels_after_s))
    if apart > CHECK_RANKS_FRAC * gate:
        reasons.append(f"ranks differ {apart:.1%} (at most {CHECK_RANKS_FRAC * gate:.0%})")
    return tuple(reasons)


def measure(
    plans: PlanFile,
    pick: int,
    options: Options,
    *,
    executions: int = 1,
    progress: Progress = lambda done, total: None,
) -> Measurement:
    """Run a plan ``executions`` times; trace and split the last run."""
    answers = []
    for i in range(executions):

        def shifted(done: int, total: int, base: int = i) -> None:
            progress(base * total + done, executions * total)

        detailed = i + 1 == executions
        answers.append(run_once(plans, pick, options, detailed=detailed, progress=shifted))
    runs = tuple(execution(answer) for answer in answers)
    ranked = plans.plans[pick]
    step_s = float(np.median([run.step_s for run in runs]))
    more = {"backend": options.backend}
    return _with_details(plans, ranked, runs, step_s, answers[-1] | more, options.replay)


def _with_details(
    plans: PlanFile,
    ranked: RankedPlan,
    runs: tuple[Execution, ...],
    step_s: float,
    answer: Mapping[str, Any],
    replay: int | None,
) -> Measurement:
    """Split the error by substitution, and set predicted and measured side by side."""
    machine, plan = plans.to_machine(), ranked.plan
    cluster, books = machine.cluster(plan.workers), machine.books(plan.workers)
    program = lower(load_model(plans.model), plans.training, plan, cluster, books)
    predicted = simulate(program.graph)
    traced, solo = answer["traced"], {int(k): v for k, v in answer["solo"].items()}
    is_host = backend(answer["backend"]).is_host  # a device has its next op when one ends
    launch_s = cluster.devices[plan.placement[0]].launch_overhead_s * is_host
    # a stage of the input runs in another process: its mean in the run stands for it alone, too
    stages = runs[-1].input.stages if runs[-1].input else {}
    beside = {
        t: stages[info.phase].each_s
        for t, info in enumerate(program.tasks)
        if isinstance(info, StageTask)
    }
    # what a replayed rank does not run, and its messages, are as predicted
    length_s = (predicted.end_ps - predicted.start_ps) / PS_PER_S
    for t, info in enumerate(program.tasks):
        if replay is not None and (replay not in info.ranks or isinstance(info, TransferTask)):
            beside.setdefault(t, float(length_s[t]))
    alone_s = [
        beside[t] if t in beside else solo[t] + launch_s * isinstance(info, ComputeTask)
        for t, info in enumerate(program.tasks)
    ]
    inside_s = [
        beside[t] if t in beside else s + launch_s * isinstance(info, ComputeTask)
        for t, (s, info) in enumerate(zip(traced["median_s"], program.tasks, strict=True))
    ]
    step_of = Substitution(plans, plan, program)
    split = Split(
        predicted_s=step_of(None),
        solo_s=step_of(alone_s),
        traced_s=step_of(inside_s),
        measured_s=step_s,
    )
    start_s, end_s = traced["start_s"], traced["end_s"]
    shown = [t for t in range(len(program.tasks)) if t not in beside]
    measured = Timeline(
        start_ps=np.array([to_ps(s) for s in start_s], dtype=np.int64),
        end_ps=np.array([to_ps(s) for s in end_s], dtype=np.int64),
    )
    return Measurement(
        schema=SCHEMA,
        tool=plans.tool,
        model=plans.model,
        cluster=plans.cluster,
        training=plans.training,
        ranked=ranked,
        executions=runs,
        step_s=step_s,
        error_frac=ranked.prediction.step_s / step_s - 1,
        split=split,
        ops=op_times(program, predicted, alone_s, inside_s, replay),
        phases_s=phase_seconds(program, measured, replay or 0),
        trace=Trace(
            task=tuple(program.label(t) for t in shown),
            ranks=tuple(program.tasks[t].ranks for t in shown),
            phase=tuple(program.tasks[t].phase for t in shown),
            predicted_start_s=tuple((predicted.start_ps[shown] / PS_PER_S).tolist()),
            predicted_end_s=tuple((predicted.end_ps[shown] / PS_PER_S).tolist()),
            measured_start_s=tuple(start_s[t] for t in shown),
            measured_end_s=tuple(end_s[t] for t in shown),
        ),
        check=None,
        arena=arena_proof(program, answer),
        replay=None if replay is None else Replay(rank=replay, words=WORDS),
        environment={
            "identity": dict(plans.machine[plan.workers].identity)
            if plan.workers in plans.machine
            else {},
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            "backend": answer["backend"],
            **({"backend library": answer["library"]} if answer["library"] else {}),
            **({} if is_host else {"notes": answer["notes"], "issue_s": traced["issue_s"]}),
        },
    )


def check(
    measure_again: Callable[[], Measurement], *, gate: float, say: Callable[[str], None]
) -> Measurement:
    """Measure until a run is valid, at most three times; return it with its verdict.

    ``measure_again`` calibrates, predicts and executes anew: a void run says nothing about its
    costs either.
    """
    reasons: list[str] = []
    measurement = None
    for attempt in range(ATTEMPTS):
        measurement = measure_again()
        void = void_reasons(list(measurement.executions), gate)
        if not void:
            break
        reasons.append(f"attempt {attempt + 1}: {'; '.join(void)}")
        say(f"void run, {reasons[-1]}")
    assert measurement is not None
    claim = INTERVAL_FRAC[Grade[measurement.ranked.prediction.grade.upper()]]
    valid = len(reasons) < ATTEMPTS
    verdict = Verdict(
        claim_frac=claim,
        gate=gate,
        error_frac=measurement.error_frac,
        valid=valid,
        void_reasons=tuple(reasons),
        passed=valid and abs(measurement.error_frac) <= claim * gate,
    )
    return dataclasses.replace(measurement, check=verdict)
