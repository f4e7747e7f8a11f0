"""Help is quick, and every command explains itself."""

import json
import subprocess
import sys
import time
from importlib import metadata

import pytest
import typer.main

from foreplan.cli import app

HEAVY = ["matplotlib", "mpi4py", "networkx", "numba", "numpy", "pandas", "psutil", "scipy"]
HEAVY += ["simpy", "sklearn"]
"""pydantic is not among them: Typer itself uses it where it is installed."""
BEST_OF = 5
MOST_S = 0.4
WRITES_ONLY = {
    "foreplan data digits",
    "foreplan data pack",
    "foreplan data synthetic",
    "foreplan data text",
    "foreplan talk",
}
"""Commands that write files and print no facts."""


def commands(group=None, path="foreplan"):
    """Return every command by its whole name."""
    group = group or typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        whole = f"{path} {name}"
        found |= commands(command, whole) if hasattr(command, "commands") else {whole: command}
    return found


COMMANDS = commands()


def test_the_commands_are_these():
    assert sorted(COMMANDS) == [
        "foreplan bench engine",
        "foreplan bench ops",
        "foreplan bench plan",
        "foreplan bench scale",
        "foreplan bench search",
        "foreplan collective",
        "foreplan data digits",
        "foreplan data pack",
        "foreplan data synthetic",
        "foreplan data text",
        "foreplan diff",
        "foreplan doctor",
        "foreplan estimate",
        "foreplan execute",
        "foreplan explain",
        "foreplan hw calibrate",
        "foreplan hw list",
        "foreplan hw show",
        "foreplan input",
        "foreplan models list",
        "foreplan models show",
        "foreplan pipeline",
        "foreplan plan",
        "foreplan report",
        "foreplan simulate",
        "foreplan talk",
        "foreplan topology",
        "foreplan trace",
        "foreplan validate",
        "foreplan what-if",
    ]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["plan", "--help"], ["execute", "--help"]]
)
def test_help_imports_nothing_heavy(arguments, tmp_path):
    code = (
        "import json, sys\n"
        "from foreplan.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit as end:\n"
        f"    heavy = sorted(set(sys.modules) & set({HEAVY}))\n"
        "    print(json.dumps([end.code, heavy]), file=sys.stderr)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stderr) == [0, []]
    if arguments == ["--version"]:
        assert answer.stdout == f"foreplan {metadata.version('foreplan')}\n"
    else:
        assert "Usage: foreplan" in answer.stdout


@pytest.mark.alone
def test_help_is_quick(command, tmp_path):
    seconds = []
    for _ in range(BEST_OF):
        start = time.perf_counter()
        answer = command(["--help"], tmp_path, tmp_path)
        seconds.append(time.perf_counter() - start)
        assert answer.returncode == 0
    assert min(seconds) < MOST_S


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_say_what_they_are(name):
    command = COMMANDS[name]
    assert command.help
    assert len(command.help.strip()) > 10
    unsaid = [p.name for p in command.params if not getattr(p, "help", "")]
    assert unsaid == []


@pytest.mark.parametrize("name", COMMANDS)
def test_what_prints_facts_prints_them_as_json_too(name):
    options = {option for p in COMMANDS[name].params for option in p.opts}
    assert ("--json" in options) == (name not in WRITES_ONLY)
    assert "--quiet" in options or name not in WRITES_ONLY


@pytest.mark.parametrize("arguments", [[], ["hw"], ["models"], ["data"]])
def test_no_command_gives_the_list_of_commands_and_one_line(arguments, command, tmp_path):
    answer = command(arguments, tmp_path, tmp_path)
    path = " ".join(["foreplan", *arguments])
    assert answer.returncode == 2
    assert f"Usage: {path}" in answer.stdout
    assert "Commands:" in answer.stdout
    said = ": ".join(["foreplan", *arguments, "expected a command, got none"])
    assert answer.stderr == f"{said}; give one of those listed\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "list"],
        ["models", "show", "mlp", "--batch", "2"],
        ["hw", "list"],
        ["hw", "show", "v100-quad"],
        ["hw", "show", "v100-sxm2-16g"],
        ["estimate", "mlp", "v100-quad", "--batch", "64", "--workers", "4", "--overlap"],
        ["plan", "mlp", "v100-quad", "--batch", "8", "--top", "1"],
    ],
    ids=" ".join,
)
def test_json_is_all_that_is_printed(arguments, command, inside, tmp_path):
    text = inside(arguments, tmp_path, tmp_path)
    run = command if arguments[0] == "plan" else inside  # one of them as a process
    data = run([*arguments, "--json"], tmp_path, tmp_path)
    assert (text.returncode, data.returncode) == (0, 0), text.stderr + data.stderr
    assert json.loads(data.stdout)
    assert data.stderr == ""
    assert text.stdout
    assert not text.stdout.startswith(("{", "["))
