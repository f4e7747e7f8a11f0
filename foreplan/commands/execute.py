"""``execute``: run a plan for real on this machine and hold it against its prediction."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import Json, Quiet, writable
from foreplan.console import note, out, progress, show_json, table

if TYPE_CHECKING:
    from planner.measurement import InputRun, Measurement


def execute(
    path: Annotated[Path, typer.Argument(metavar="PLAN", help="A file written by `plan`.")],
    *,
    pick: Annotated[int, typer.Option(min=0, help="Which plan of the file; 0 is the best.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of an execution.")] = 100,
    warmup: Annotated[int, typer.Option(min=0, help="Steps before the timed ones.")] = 10,
    backend: Annotated[
        str | None,
        typer.Option(help="Whose kernels run; default: those that the plan was priced with."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the record files.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Calibrate, run five times, test the claim.")
    ] = False,
    keep_costs: Annotated[
        bool, typer.Option("--keep-costs", help="With --check: test the plan file's own costs.")
    ] = False,
    gate: Annotated[float, typer.Option(min=1.0, help="Factor on what --check allows.")] = 1.0,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Run though the sentinels have moved.")
    ] = False,
    oversubscribe: Annotated[
        bool, typer.Option("--oversubscribe", help="Let workers share cores; times mean little.")
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Run the one rank of --rank, its peers stubbed.")
    ] = False,
    rank: Annotated[int | None, typer.Option(min=0, help="With --replay: which rank.")] = None,
    timeout: Annotated[
        float,
        typer.Option(min=1.0, help="Seconds without a sign of life or progress until given up."),
    ] = 60.0,
    save: Annotated[
        Path | None,
        typer.Option(callback=writable, help="Write the trained parameters here (.npy)."),
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option(min=0, help="Keep the state after every so many steps; 0: never.")
    ] = 0,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Folder of the checkpoints; default: beside the output."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint, to the same end.")
    ] = False,
    resume_from: Annotated[
        Path | None, typer.Option(help="Go on from this checkpoint, to the same end.")
    ] = None,
    hosts: Annotated[
        Path | None, typer.Option(help="Hosts to run on: a file with a line name:slots each.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=writable, help="Where to write.")
    ] = Path("measurement.json"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run PLAN with real workers on real data; write predicted beside measured."""
    import foreplan
    from foreplan.launchers import launcher
    from hwprofiles.errors import CheckFailed, PlanError

    if gate != 1 and not check:
        raise PlanError(f"--gate {gate:g}: expected --check beside it, got none; give both or none")
    if replay != (rank is not None):
        raise PlanError(
            f"--{'replay' if replay else 'rank'}: expected --replay together with --rank R, got one"
            " of them; give both or none"
        )
    with (
        launcher(hosts) as (start, lanes),
        progress("executing", quiet=quiet) as step,
    ):
        found = foreplan.execute(
            path,
            pick=pick,
            steps=steps,
            warmup=warmup,
            data=data,
            check=check,
            keep_costs=keep_costs,
            gate=gate,
            allow_drift=allow_drift,
            oversubscribe=oversubscribe,
            replay=rank,
            timeout_s=timeout,
            parameters=save,
            checkpoint_every=checkpoint_every,
            checkpoints=checkpoints,
            resume=resume_from or resume,
            start=start,
            lanes=lanes,
            output=output,
            backend=backend,
            say=lambda text: note(text, quiet=quiet),
            progress=lambda done, total: step(done, total, ""),
        )
    from planner.records import write_record

    write_record(output, found)
    if json:
        show_json(found)
    else:
        show_measurement(found)
    note(f"wrote {output}", quiet=quiet or json)
    if found.check and not found.check.passed:
        why = (
            f"error {found.check.error_frac:+.1%}, allowed {found.check.claim_frac * gate:.0%}"
            if found.check.valid
            else f"no valid run in {len(found.check.void_reasons)} attempts"
        )
        raise CheckFailed(f"check of {found.ranked.label!r}: {why}; see {output}")


def show_input(found: "InputRun") -> None:
    """Print what the steps waited for their input, and where it came from."""
    from statistics import mean

    from hwprofiles.units import format_bytes, format_frac, format_s

    busy = [f"{name} {format_frac(stage.busy_frac)} busy" for name, stage in found.stages.items()]
    source = (
        f"{format_bytes(found.read_bytes)} read, {format_bytes(found.device_bytes)} of it from the"
        " device"
    )
    waited = f"{format_s(mean(found.stall_s))} a step waited for or spent loading"
    out(f"input: {'; '.join([waited, source, *busy])}")


HOST_BOUND_FRAC = 0.95
"""A step that the host issues for as much of it is called host-bound."""


def show_device(found: "Measurement") -> None:
    """Print how a device was kept at work, and what was done another way than meant."""
    from hwprofiles.units import format_s

    issue_s = found.environment.get("issue_s")
    if issue_s is not None:
        bound = "host-bound" if issue_s >= HOST_BOUND_FRAC * found.step_s else "device-bound"
        out(f"{bound}: the host issues a step in {format_s(issue_s, 4)}")
    notes = found.environment.get("notes", {}).items()
    alike = Counter((name.partition("(")[0], why) for name, why in notes)
    for (name, why), calls in alike.items():
        out(f"{name}{f' of {calls} shapes' * (calls > 1)}: {why}")


def show_measurement(found: "Measurement") -> None:
    """Print predicted beside measured, by phase, and where the error comes from."""
    from hwprofiles.units import format_bytes, format_frac, format_s

    predicted = found.ranked.prediction
    last = found.executions[-1]
    out(
        f"{found.model} as {found.ranked.label}: measured {format_s(found.step_s, 4)} a step,"
        f" predicted {format_s(predicted.step_s, 4)} ({found.error_frac:+.1%}, grade"
        f" {predicted.grade}), {found.training.batch / found.step_s:,.0f} samples/s"
    )
    if found.replay:
        out(f"rank {found.replay.rank} alone, replayed: {found.replay.words}")
    out()
    rows = [
        (phase, format_s(seconds), format_s(found.phases_s.get(phase, 0.0)))
        for phase, seconds in predicted.phases_s.items()
    ]
    table(
        (f"phase of rank {found.replay.rank if found.replay else 0}", "predicted", "measured"), rows
    )
    if found.split:
        s = found.split
        out()
        out(
            f"error split: predicted {format_s(s.predicted_s, 4)}; op costs"
            f" {format_s(s.solo_s - s.predicted_s)}; interference"
            f" {format_s(s.traced_s - s.solo_s)}; structure"
            f" {format_s(s.measured_s - s.traced_s)}; measured {format_s(s.measured_s, 4)}"
        )
    if last.input:
        show_input(last.input)
    show_device(found)
    if last.test_accuracy is not None:
        loss = "" if last.test_loss is None else f", loss {last.test_loss:.3f},"
        out(
            f"test accuracy {format_frac(last.test_accuracy)}{loss} after {len(last.losses)} steps"
            f" ({format_s(last.training_s)} of training)"
        )
    if found.arena:
        out(
            f"arena proved over {found.arena.steps} steps: needed to its end, shared without harm,"
            f" {format_bytes(max(found.arena.beside_bytes))} held beside it"
            + (f", not counting what {found.arena.exempt} allocates" if found.arena.exempt else "")
        )
    if found.check:
        verdict = "passed" if found.check.passed else "failed"
        allowed = found.check.claim_frac * found.check.gate
        out(f"check {verdict}: error {found.check.error_frac:+.1%}, allowed {allowed:.0%}")
