"""The first sections: what was asked, what the answer is, and what the run said to it."""

from dataclasses import replace

from hwprofiles.units import format_bytes, format_s
from planner.optimizer import optimizer
from planner.plan import Training
from reports.case import Case, layout
from reports.parts import Figure, Section
from reports.rows import candidate_rows, command_lines, data_command, search_rows, verdict_rows
from reports.tables import Column, facts, table, text_rate, text_signed_frac
from reports.words import VERDICT_WORDS


def question(case: Case) -> Section:
    """Return model, cluster and training as they were asked for."""
    plans, training = case.plans, case.plans.training
    return Section(
        text=(
            f"How is {plans.model} trained fastest on {plans.cluster}, with the same update as one"
            f" worker would make on all {training.batch} samples of a batch?",
        ),
        tables=(
            facts(
                [
                    ("model", plans.model),
                    ("cluster", plans.cluster),
                    ("batch", f"{training.batch} samples a step, over all workers"),
                    ("dtype", training.dtype),
                    ("optimizer", _optimizer(training)),
                    ("seed", training.seed),
                    ("tool", plans.tool),
                ]
            ),
        ),
    )


def _optimizer(training: Training) -> str:
    """Return the optimizer with the settings that it takes."""
    taken = optimizer(training.optimizer).SETTINGS
    settings = (f"{name.replace('_', ' ')} {getattr(training, name):g}" for name in taken)
    return f"{training.optimizer}, {', '.join(settings)}"


def sentence(case: Case) -> str:
    """Return the answer as one would quote it."""
    plans, best = case.plans, case.best.prediction
    return (
        f"{plans.model} with batch {plans.training.batch} on {plans.cluster}:"
        f" {layout(case.best.plan)}: {format_s(best.step_s)} a step,"
        f" {text_rate(best.samples_per_s)} (grade {best.grade}, stated interval"
        f" {format_s(best.interval_s[0])} to {format_s(best.interval_s[1])})."
    )


def answer(case: Case) -> Section:
    """Return the answer in one sentence, and the plan behind it in full."""
    plan = case.best.plan
    passes = plan.microbatches(case.plans.training.batch)
    shared = [
        ("exchange", plan.algorithm),
        ("buckets", f"closed at {format_bytes(plan.bucket_bytes)} of gradients"),
        ("leave", "during the backward pass" if plan.overlap else "after the backward pass"),
    ]
    return Section(
        text=(sentence(case),),
        tables=(
            facts(
                [
                    ("plan", case.best.label),
                    ("workers", plan.workers),
                    ("on devices", ", ".join(map(str, plan.placement))),
                    ("microbatch", f"{plan.microbatch} samples, {passes} a step on each worker"),
                    *(shared if plan.workers > 1 else []),
                    (
                        "slots",
                        f"input {plan.input_slots}, activations {plan.activation_slots},"
                        f" landing {plan.landing_slots}",
                    ),
                ]
            ),
        ),
    )


def headline(case: Case) -> tuple[Figure, ...]:
    """Return the few numbers at the top of the page."""
    measured, prediction = case.measured, case.subject.prediction
    low_s, high_s = prediction.interval_s
    renewed = ", its ops timed again for the run" if _has_renewed_costs(case) else ""
    found = [
        Figure(
            title="predicted step",
            value=format_s(prediction.step_s),
            note=f"{format_s(low_s)} to {format_s(high_s)}, grade {prediction.grade}{renewed}",
        )
    ]
    if measured:
        runs = len(measured.executions)
        found += [
            Figure(
                title="measured step",
                value=format_s(measured.step_s),
                note=f"median of {runs} execution{'s' * (runs != 1)}",
            ),
            Figure(
                title="error",
                value=text_signed_frac(measured.error_frac),
                note="predicted / measured - 1",
            ),
        ]
    step_s = measured.step_s if measured else prediction.step_s
    return (
        *found,
        Figure(
            title="throughput",
            value=text_rate(case.plans.training.batch / step_s),
            note="measured" if measured else "predicted",
        ),
        Figure(
            title="memory of a worker",
            value=format_bytes(max(prediction.arena_bytes)),
            note=f"arena of the fullest; {prediction.waste:.2f} x its live peak",
        ),
    )


def verdict(case: Case) -> Section:
    """Return predicted beside measured, and what a check concluded; or how to measure."""
    measured = case.measured
    if measured is None:
        return _unmeasured(case)
    prediction = measured.ranked.prediction
    low_s, high_s = prediction.interval_s
    inside = "inside" if low_s <= measured.step_s <= high_s else "outside"
    text = [
        f"{measured.ranked.label}: predicted {format_s(prediction.step_s)}, measured"
        f" {format_s(measured.step_s)} a step: error {text_signed_frac(measured.error_frac)},"
        f" {inside} the stated interval of {format_s(low_s)} to {format_s(high_s)}.",
        _which(case),
    ]
    points: tuple[str, ...] = ()
    check = measured.check
    if check is None:
        text.append(f"Not checked: {VERDICT_WORDS['not checked']}.")
    else:
        allowed = check.claim_frac * check.gate
        gate = f" (claim {_percent(check.claim_frac)} x gate {check.gate:g})" * (check.gate != 1)
        text.append(
            f"Check {case.verdict}: error {text_signed_frac(check.error_frac)}, allowed"
            f" {_percent(allowed)} either way{gate}; {VERDICT_WORDS[case.verdict]}."
        )
        points = tuple(f"void: {reason}" for reason in check.void_reasons)
    return Section(text=tuple(filter(None, text)), points=points)


def _has_renewed_costs(case: Case) -> bool:
    """Whether the run was predicted anew, with other costs than those of the plan file."""
    listed = case.plans.plans[case.pick].prediction if case.pick is not None else None
    return listed is not None and listed.step_s != case.subject.prediction.step_s


def _unmeasured(case: Case) -> Section:
    """Say how to get a measurement; only a prediction of the machine at hand can have one."""
    run = (
        data_command(case.plans),
        "foreplan execute plan.json --check -o measurement.json",
        "foreplan report plan.json measurement.json -o report.html",
    )
    if case.plans.cluster == "local":
        text = "Not measured yet. These commands run the plan for real and set it beside this:"
        return Section(text=(text,), commands=run)
    plan_here = replace(case.plans, cluster="local")
    return Section(
        text=(
            f"Not measured. A run is on the machine at hand, which {case.plans.cluster} is not;"
            " these commands predict the same question for this machine, and measure that:",
        ),
        commands=(*command_lines(Case(plans=plan_here, measured=None))[:-1], *run),
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _which(case: Case) -> str:
    """Say which plan of the file ran, where it is not simply the best as predicted there."""
    if case.pick is None:
        return "The plan that ran is not in the plan file."
    text = f"It is number {case.pick + 1} of the plan file." if case.pick else ""
    if _has_renewed_costs(case):
        listed = case.plans.plans[case.pick].prediction.step_s
        ran = case.subject.prediction.step_s
        text += (
            f" The plan file predicted {format_s(listed)}; the ops were timed again for this run,"
            f" and the prediction that counts is {format_s(ran)}."
        )
    return text.strip()


def certificate(case: Case) -> Section:
    """Return the account of every candidate."""
    proof = case.plans.certificate
    statement = proof.statement[:1].upper() + proof.statement[1:]
    return Section(
        text=(
            f"{statement}.",
            f"{proof.candidates:,} candidates were considered; {proof.simulated:,} of them were"
            f" simulated.",
        ),
        tables=(
            table(
                verdict_rows(case.plans),
                [
                    Column(key="verdict", title="verdict", note="meaning"),
                    Column(key="count", title="candidates", kind="count"),
                    Column(key="frac", title="share", kind="frac"),
                ],
                caption="All candidates, by verdict",
            ),
            table(
                search_rows(case.plans),
                [
                    Column(key="fate", title="of those that fit", note="why"),
                    Column(key="count", title="candidates", kind="count"),
                ],
                caption="Those that fit, by what the search did with them",
            ),
        ),
    )


def candidates(case: Case) -> Section:
    """Return the plans of the file."""
    return Section(
        tables=(
            table(
                candidate_rows(case.plans),
                [
                    Column(key="rank", title="#", kind="count"),
                    Column(key="label", title="plan", wraps=True),
                    Column(key="workers", title="workers", kind="count"),
                    Column(key="microbatch", title="microbatch", kind="count"),
                    Column(key="algorithm", title="exchange"),
                    Column(key="bucket_bytes", title="bucket", kind="bytes"),
                    Column(key="overlap", title="overlap", kind="flag"),
                    Column(key="step_s", title="step", kind="seconds", digits=4),
                    Column(key="slower_frac", title="slower by", kind="frac"),
                    Column(key="samples_per_s", title="throughput", kind="rate"),
                    Column(key="closed_form_s", title="closed form", kind="seconds", digits=4),
                    Column(key="bound_s", title="bound", kind="seconds", digits=4),
                    Column(key="arena_bytes", title="memory", kind="bytes"),
                    Column(key="grade", title="grade"),
                ],
                caption="Simulated step, best first; memory is the arena of the fullest worker",
                sortable=True,
            ),
        )
    )
