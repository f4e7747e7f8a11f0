"""The command line. Every error of the user's is one sentence and an exit code; see ``errors``.

Nothing heavy is imported here: each command imports what it needs when it runs, so ``--help`` is
quick.
"""

import errno
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from foreplan import __version__
from foreplan.commands import (
    bench,
    collective,
    data,
    diff,
    doctor,
    estimate,
    execute,
    explain,
    hw,
    input,
    models,
    pipeline,
    plan,
    report,
    simulate,
    talk,
    topology,
    trace,
    validate,
    what_if,
)

app = typer.Typer(
    name="foreplan",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"foreplan {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Plan, simulate, execute and compare parallel training of neural networks."""
    del version


app.command("plan")(plan.plan)
app.command("estimate")(estimate.estimate)
app.command("explain")(explain.explain)
app.command("what-if")(what_if.what_if)
app.command("diff")(diff.diff)
app.command("pipeline")(pipeline.pipeline)
app.command("execute")(execute.execute)
app.command("input")(input.plan_input)
app.command("report")(report.report)
app.command("simulate")(simulate.simulate)
app.command("validate")(validate.validate)
app.command("talk")(talk.talk)
app.command("topology")(topology.topology)
app.command("collective")(collective.collective)
app.command("trace")(trace.trace)
app.command("doctor")(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(hw.app, name="hw")
app.add_typer(models.app, name="models")

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""What a system says of a place where nothing more can be written."""
INTERRUPTED = 130
TERMINATED = 143


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from hwprofiles.errors import ForeplanError
    from hwprofiles.garbage import collect_seldom

    collect_seldom()
    signal.signal(signal.SIGTERM, _terminate)  # so that workers are ended with us
    signal.signal(signal.SIGINT, _interrupt)
    try:
        code = app(arguments, prog_name="foreplan", standalone_mode=False)
        sys.stdout.flush()
    except ForeplanError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except TyperException as error:
        _say(_usage(error, sys.argv[1:] if arguments is None else arguments))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _drop_output()
        place = error.filename or "standard output"
        _say(f"{place}: cannot be written ({error.strerror}); free space or name another place")
        sys.exit(2)
    if code == INTERRUPTED:  # by Typer, or by a command that wrote the best so far
        _say("interrupted; nothing was written that is not whole")
    sys.exit(code if isinstance(code, int) else 0)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, as an exception of our own.

    Python ends by the signal, not by our code, if it once saw the plain exception leave a string
    that is executed, as modules do that make classes while they are imported.
    """


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Interrupted


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that Python can end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(TERMINATED)


def _usage(error: TyperException, arguments: list[str]) -> str:
    """Say in one sentence what is wrong with the arguments, and which help to read."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    path = context.command_path if context else "foreplan"
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())  # noqa: T201 - the help that was asked for by saying nothing
        group = f"{path.removeprefix('foreplan').lstrip()}: ".removeprefix(": ")
        return f"{group}expected a command, got none; give one of those listed"
    text = error.format_message().rstrip(".").replace("\n", " ")
    if parameter is not None and error.message:
        given = _given(arguments, parameter.opts)
        text = f"{parameter.opts[0]}: {error.message[0].lower()}{error.message[1:].rstrip('.')}"
        text += f", got {given!r}" if given is not None else ""
    return f"{text}; see `{path} --help`"


def _given(arguments: list[str], options: list[str]) -> str | None:
    """Return the text that was given to an option, None where it cannot be told."""
    for here, after in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = here.partition("=")
        if name in options:
            return value if equals else after
    return None


def _say(text: str) -> None:
    print(f"foreplan: {text}", file=sys.stderr)  # noqa: T201 - the door speaks


if __name__ == "__main__":
    main()
