"""The commands at the end of a page: run as printed they write the very plan file again."""

import shlex

import pytest

from foreplan import cli
from foreplan.api import read_cases
from reports.rows import command_lines

ASKED = {
    "held": "--fix overlap=on --fix bucket_bytes=64KiB --max memory=12MB",
    "datasheet": "--software datasheet --max workers=2 --samples 1e6 --deadline 9h --top 2",
    "trained otherwise": "--software pytorch-2018 --optimizer adamw --weight-decay 0.1"
    " --dtype float16 --objective energy",
    "front": "--pareto time,memory",
    "library": "--collectives nccl --budget 2 --top 1",
}


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run a command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        with pytest.raises(SystemExit) as end:
            cli.main(shlex.split(line)[1:])
        assert end.value.code == 0, capfd.readouterr().err

    return run


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_printed_command_writes_the_same_plan_file(run, tmp_path, asked):
    plan = tmp_path / "plan.json"
    run(f"foreplan plan mlp v100-quad --batch 64 -q {asked}")
    written = plan.read_bytes()
    (command,) = command_lines(read_cases([plan])[0])
    plan.unlink()
    run(command)
    assert plan.read_bytes() == written


def test_changed_hardware_is_changed_again(run, tmp_path):
    plan = tmp_path / "plan.json"
    run("foreplan plan mlp v100-quad --batch 64 -q")
    changes = "--set bandwidth=2x --set device.memory=1GB --replan"
    run(f"foreplan what-if plan.json {changes} -o plan.json")
    written = plan.read_bytes()
    commands = command_lines(read_cases([plan])[0])
    plan.unlink()
    for command in commands:
        run(command)
    assert plan.read_bytes() == written
