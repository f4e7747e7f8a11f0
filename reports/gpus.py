"""What `make gpu-check` has found, as a section of the accuracy page."""

from collections.abc import Mapping, Sequence
from typing import Any

from hwprofiles.units import format_s

HEAD = (
    "| case | samples/s | measured | (a) from ops | (b) from curves | (b) unmeasured"
    " | over PyTorch | host issues: predicted, measured | bound by |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
)


def gpu_section(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the section, Markdown: for each GPU its verdicts and a row a case."""
    lines = [
        "## GPUs",
        "",
        "Steps of one GPU, predicted (a) from the ops that this GPU was measured with; (b) from"
        " curves fitted to the ops of other models, and as `foreplan plan` predicts a GPU that"
        " nobody measured, from its datasheet and what published runs of similar ones reached;"
        " PyTorch eager on the same GPU in the same run. A model's own ops never enter its curves,"
        " but the law that they are fitted by was chosen with the errors of the H200 in sight. What"
        " the host takes to issue an op is measured in steps of the same run, so where the host is"
        " the bound (a) says little; what is measured of it holds waits for room in the device's"
        " queue. From"
        " `bench/results/gpu-*.json` of `make gpu-check`.",
        "",
    ]
    for one in found:
        lines += _of_gpu(one)
    return "\n".join(lines).rstrip() + "\n"


def _of_gpu(one: Mapping[str, Any]) -> list[str]:
    facts = one["facts"]
    named = {k: v for k, v in facts.items() if isinstance(v, str | int) and k != "name"}
    lines = [f"### {facts.get('name', 'unknown')}", ""]
    if facts.get("rehearsal"):
        lines += ["A rehearsal: NumPy on a CPU, toy sizes. Nothing here was run by a GPU.", ""]
    lines += [", ".join(f"{k} {v}" for k, v in named.items() if v != ""), ""]
    lines += [f"Kernels against their NumPy twins: {one['contract']['closing']}.", ""]
    lines += [*(f"- {line}" for line in one["verdicts"]), ""]
    lines += [*HEAD, *map(_line, one["rows"]), ""]
    replayed = [f"- {row['case']}: {row['words']}." for row in one["rows"] if "words" in row]
    return [*lines, *replayed, ""]


def _line(row: Mapping[str, Any]) -> str:
    def error(name: str) -> str:
        return f"{row[name]:+.1%}" if name in row else "-"

    speed = f"{row['speed_of_torch']:.2f}" if "speed_of_torch" in row else "-"
    return (
        f"| {row['case']} | {row['samples_per_s']:,.0f} | {format_s(row['measured_s'], 4)}"
        f" | {error('from_ops_error')} | {error('from_curves_error')}"
        f" | {error('from_datasheet_error')} | {speed}"
        f" | {format_s(row['issue_s'])}, {format_s(row['loop_s'])}"
        f" | {'host' if row['is_host_bound'] else 'device'} |"
    )
