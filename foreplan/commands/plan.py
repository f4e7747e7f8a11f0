"""``plan``: search the placements of a model on a cluster."""

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.answer import format_objective, show_plans
from foreplan.commands.options import (
    USUAL_SOFTWARE,
    BatchOr32,
    Beta1,
    Beta2,
    Calibrate,
    Decay,
    Epsilon,
    Json,
    Momentum,
    Optimizer,
    Quiet,
    Rate,
    Seed,
    Seq,
    Software,
    UsualDtype,
    amount,
    writable,
)
from foreplan.console import INTERRUPTED, note, progress, show_json

if TYPE_CHECKING:
    from planner.machine import Machine

USUAL_SAMPLES = 32
"""Of a device in a step, where no batch is named."""


def plan(
    model: Annotated[
        str,
        typer.Argument(
            help="A built-in model (see `foreplan models list`), or a .toml or .onnx file."
        ),
    ],
    cluster: Annotated[str, typer.Argument(help="local, a shipped cluster, or a TOML file.")],
    batch: BatchOr32 = None,
    seq: Seq = None,
    *,
    top: Annotated[int, typer.Option(min=1, help="Plans to keep and prove in order.")] = 5,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Most simulations; default: some 0.7 s of them, by size."),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(help="time, throughput, cost, energy, devices (fewest) or memory."),
    ] = "time",
    pareto: Annotated[
        str, typer.Option(help="Two objectives, e.g. time,cost: plans beaten in both by none.")
    ] = "",
    fix: Annotated[
        list[str] | None,
        typer.Option(help="Fix a choice, e.g. algorithm=ring, workers=2, overlap=off."),
    ] = None,
    most: Annotated[
        list[str] | None,
        typer.Option("--max", help="Limit a choice, e.g. workers=8, memory=12GB, time=90ms."),
    ] = None,
    constraints: Annotated[
        Path | None, typer.Option(help="A TOML file with tables [fix] and [max].")
    ] = None,
    samples: Annotated[
        float, typer.Option(min=0, help="Samples to train on; for totals and --deadline.")
    ] = 0,
    deadline: Annotated[
        str, typer.Option(help="Time in which --samples must be done, e.g. 2h.")
    ] = "",
    collectives: Annotated[
        str,
        typer.Option(
            help="Who chooses how gradients are exchanged: best (by simulation), or nccl (by that"
            " library's tables, bucket by bucket)."
        ),
    ] = "best",
    software: Software = USUAL_SOFTWARE,
    calibrate: Calibrate = None,
    dtype: UsualDtype = None,
    optimizer: Optimizer = "sgd",
    learning_rate: Rate = None,
    momentum: Momentum = 0.9,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
    weight_decay: Decay = 0.01,
    seed: Seed = 0,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=writable, help="Where to write.")
    ] = Path("plan.json"),
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Search all plans of MODEL on CLUSTER; write the best with a certificate."""
    import foreplan
    from foreplan.constraints import constraints as read_constraints
    from foreplan.course import Course
    from foreplan.machines import load_machine
    from foreplan.training import training_of, usual_dtype
    from planner.model import load_model, with_tokens
    from planner.records import write_record

    usual: list[str] = []  # told when all that was asked has been read
    if batch is None or dtype is None:
        machine = load_machine(cluster)
        dtype = dtype or usual_dtype(machine, usual)
        batch = batch or _usual_batch(machine, usual)
    training = training_of(
        optimizer,
        learning_rate,
        batch=batch,
        dtype=dtype,
        momentum=momentum,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        weight_decay=weight_decay,
        seed=seed,
    )
    limits = [*(most or []), *_deadline(deadline, samples, batch)]
    asked = read_constraints([*(fix or []), *_library(collectives, fix or [])], limits, constraints)
    pair = _pair(pareto, objective)
    model = with_tokens(model, seq)
    load_model(model)
    for text in usual:
        note(text, quiet=quiet)
    course = Course()
    with progress("planning", quiet=quiet) as step:

        def tell(stage: str, done: int, total: int, best: float | None) -> None:
            aim = pair[0] if pair else objective
            text = f"best {format_objective(aim, best)}" if best is not None else stage
            step(*course.counts(stage, done, total), text)

        found = foreplan.plan(
            model,
            cluster,
            training,
            top=top,
            budget=budget,
            constraints=asked,
            objective=objective,
            pareto=pair,
            software=software,
            calibrate=calibrate,
            progress=tell,
        )
    write_record(output, found)
    if json:
        show_json(found)
    else:
        show_plans(found, samples)
    note(f"wrote {output}", quiet=quiet or json)
    return INTERRUPTED if found.certificate.stopped_by == "interrupt" else 0


def _usual_batch(machine: "Machine", usual: list[str]) -> int:
    """Return the samples of a step where none are named, and add that to what is told."""
    batch = USUAL_SAMPLES * machine.devices
    usual.append(f"batch {batch}: {USUAL_SAMPLES} samples a device; --batch sets it")
    return batch


def _library(name: str, fix: list[str]) -> list[str]:
    """Return the choice of a library as a choice of the algorithm."""
    from hwprofiles.errors import PlanError
    from planner.policies.base import BEST, policy

    policy(name)
    if name == BEST:
        return []
    if told := [text for text in fix if text.startswith("algorithm=")]:
        raise PlanError(
            f"--collectives {name}: expected that nobody else chooses the algorithm, got --fix"
            f" {told[0]}; leave one of them out"
        )
    return [f"algorithm={name}"]


def _deadline(text: str, samples: float, batch: int) -> list[str]:
    """Return a deadline as the limit of a step's time."""
    from hwprofiles.errors import PlanError
    from hwprofiles.units import parse_s

    if not text:
        return []
    if not samples:
        raise PlanError("--deadline: expected the number of samples beside it; give --samples")
    seconds = amount("--deadline", text, parse_s)
    return [f"time={seconds / ceil(samples / batch):.12f}s"]


def _pair(text: str, objective: str) -> tuple[str, str] | None:
    """Read two objectives, which take the place of one."""
    from hwprofiles.errors import PlanError

    if not text:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(set(names)) != 2 or len(names) != 2:
        raise PlanError(f"--pareto {text!r}: expected two objectives such as time,cost; name two")
    if objective != "time":
        raise PlanError(
            f"--pareto {text}: expected no other objective, got --objective {objective}; leave one"
            " of them out"
        )
    return names[0], names[1]
