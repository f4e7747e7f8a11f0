"""What the pages say can be done: commands parse, options exist, links lead somewhere."""

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest
import typer.main

from foreplan.cli import app, main

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OPERATORS = {"|", ">", "2>", "&&", "||", ";"}
SHELLS = ("console", "sh", "bash", "shell")
CHEAP = {"estimate", "models", "hw", "plan"}
"""Commands that are run for real where they need no calibration; the others are parsed."""
NEEDS_MORE = re.compile(r"\blocal\b|calibrate|\.json|\.toml|NAME|MODEL|CLUSTER")
"""A command that needs this machine's store, a file, or a value put in."""


def blocks(text, *languages):
    """Return the fenced blocks in one of ``languages``."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def shown_commands(text):
    """Every foreplan command of a page, with lines that end in a backslash joined."""
    found = []
    fenced = [(name, body) for name in SHELLS for body in blocks(text, name)]
    for language, body in fenced:
        for line in body.replace("\\\n", " ").splitlines():
            is_output = language == "console" and not line.startswith("$ ")
            if is_output or "foreplan " not in line:
                continue
            words = shlex.split(line.strip().removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"\w+=\S*", words[0]):
                words = words[1:]  # variables before a command
            if words and words[0] == "foreplan":
                found.append([*takewhile(lambda word: word not in OPERATORS, words[1:])])
    return found


COMMANDS = [
    (page.name, words) for page in PAGES for words in shown_commands(page.read_text("utf-8"))
]
LINKS = [
    (page.relative_to(ROOT), target)
    for page in PAGES
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    if not re.match(r"[a-z]+:|#", target)
]


def unknown_options(words):
    """Return the options of a command line that its command does not have."""
    command, rest = typer.main.get_command(app), list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"no command {rest[0]!r} in {' '.join(words)}"
        command = command.commands[rest.pop(0)]
    known = {"--help", *(o for p in command.params for o in (*p.opts, *p.secondary_opts))}
    given = {word.partition("=")[0] for word in rest if re.match(r"-{1,2}[a-zA-Z]", word)}
    return sorted(given - known)


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=lambda v: "" if type(v) is str else " ".join(v)
)
def test_a_shown_command_exists_with_its_options(page, words):
    assert unknown_options(words) == []


@pytest.mark.parametrize(
    "words",
    [w for _, w in COMMANDS if w and w[0] in CHEAP and not NEEDS_MORE.search(" ".join(w))],
    ids=" ".join,
)
def test_a_cheap_command_runs(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(list(words))
    shown = capsys.readouterr()
    assert end.value.code == 0, shown.err
    assert shown.out


@pytest.mark.parametrize(("page", "target"), LINKS, ids=str)
def test_a_link_leads_to_a_file(page, target):
    assert (ROOT / page.parent / target.partition("#")[0]).exists(), f"{page} links to {target}"


def test_python_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        for block in blocks(page.read_text("utf-8"), "python"):
            exec(compile(block, page.name, "exec"), {})


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        text = page.read_text("utf-8")
        named = set(re.findall(r"`make ([a-z]+)`", text))
        for block in blocks(text, *SHELLS):
            named |= set(re.findall(r"^(?:\$ )?make ([a-z]+)", block, flags=re.MULTILINE))
        assert named <= targets, f"{page.name} names {sorted(named - targets)}"


def test_the_reader_sees_commands():
    readme = [words for page, words in COMMANDS if page == "README.md"]
    assert {words[0] for words in readme} >= {"plan", "execute"}


PAGE = """
```console
$ foreplan plan mlp v100-quad --batch 64 \\
    --top 2
foreplan doesn't mind what it prints
```
```sh
A=1 foreplan execute plan.json --chekc | head  # a comment
make demo
```
```python
foreplan plan
```
"""


def test_commands_are_found_and_a_wrong_option_is_seen():
    plan, execute = shown_commands(PAGE)
    assert plan == ["plan", "mlp", "v100-quad", "--batch", "64", "--top", "2"]
    assert unknown_options(plan) == []
    assert unknown_options(execute) == ["--chekc"]
    with pytest.raises(AssertionError, match="no command 'plant'"):
        unknown_options(["plant", "mlp"])
