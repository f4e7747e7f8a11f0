"""The command line. Every error of the user's is one sentence and an exit code; see ``errors``.

Nothing heavy is imported here: each command imports what it needs when it runs, so ``--help`` is
quick.
"""

import sys

import typer
from typer.exceptions import TyperException

from foreplan.commands import bench, data, execute, hw, models, plan, report, simulate

app = typer.Typer(
    name="foreplan",
    help="Plan, simulate, execute and compare parallel training of neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("plan")(plan.plan)
app.command("estimate")(plan.estimate)
app.command("execute")(execute.execute)
app.command("report")(report.report)
app.command("simulate")(simulate.simulate)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(hw.app, name="hw")
app.add_typer(models.app, name="models")

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from hwprofiles.errors import ForeplanError

    try:
        code = app(arguments, standalone_mode=False)
    except ForeplanError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except TyperException as error:
        _say(f"{error.format_message()} (see `foreplan --help`)".replace("\n", " "))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted; nothing was written that is not whole")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str) -> None:
    print(f"foreplan: {text}", file=sys.stderr)  # noqa: T201 - the door speaks


if __name__ == "__main__":
    main()
