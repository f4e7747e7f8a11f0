"""``doctor``: what this machine has for a run, and what to do about what it has not."""

from foreplan.commands.options import Json
from foreplan.console import out, show_json


def doctor(json: Json = False) -> None:
    """Try MPI, BLAS, cores, memory, GPUs, the op store and the rights; say how to mend each.

    Exit code 5 when something that every run needs fails.
    """
    from foreplan.health import findings
    from hwprofiles.errors import CheckFailed

    found = findings()
    if json:
        show_json(found)
    else:
        wide = max(len(row.name) for row in found)
        for row in found:
            out(f"{row.verdict:<6}  {row.name:<{wide}}  {row.found}")
            if row.fix:
                out(f"{'':<6}  {'':<{wide}}  -> {row.fix}")
    failed = [row.name for row in found if row.verdict == "fail"]
    if failed:
        raise CheckFailed(
            f"doctor: expected all that a run needs, got a failure of {', '.join(failed)}; do what"
            " is written beside it"
        )
