"""How the command line shows things: tables, progress with an estimate of the time left, JSON."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PROGRESS_AFTER_S = 1.0
"""Progress is shown for what takes longer than this."""

Step = Callable[[int, int, str], None]


def out(text: str = "") -> None:
    """Print to standard output."""
    print(text)  # noqa: T201


def note(text: str, *, quiet: bool = False) -> None:
    """Print to standard error, unless ``quiet``."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def show_json(record: object) -> None:
    """Print a record as JSON."""
    from planner.jsonable import to_jsonable

    out(json.dumps(to_jsonable(record), indent=1))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table; the first column is text, the others are right-aligned."""
    widths = [max(len(r[i]) for r in (headers, *rows)) for i in range(len(headers))]
    for row in (headers, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        out("  ".join(cells).rstrip())


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Step]:
    """Yield ``step(done, total, text)``; show a bar with the time left once a second has passed."""
    if quiet or not sys.stderr.isatty():
        yield _lines(title, quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, text="", visible=False)

        def step(done: int, total: int, text: str = "") -> None:
            late = time.monotonic() - start > PROGRESS_AFTER_S
            bar.update(task, completed=done, total=total, text=text, visible=late)

        yield step


def _lines(title: str, quiet: bool) -> Step:
    """Where there is no terminal: a line every ten seconds."""
    state: dict[str, Any] = {"start": time.monotonic(), "next": time.monotonic() + 10.0}

    def step(done: int, total: int, text: str = "") -> None:
        now = time.monotonic()
        if now < state["next"] or not done:
            return
        state["next"] = now + 10.0
        left_s = (now - state["start"]) / done * (total - done)
        note(f"{title}: {done}/{total}, about {left_s:.0f} s left {text}".rstrip(), quiet=quiet)

    return step
