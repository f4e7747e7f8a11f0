"""How the command line shows things: tables, progress with an estimate of the time left, JSON."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

INTERRUPTED = 130
"""Exit code of a command that was interrupted and told or wrote what it had."""
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


class Pace:
    """How long what is left will take, at the pace of its stage so far.

    A stage begins where less is done than before. Totals may change on the way.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = (clock(), 0)
        self._done = 0

    def left_s(self, done: int, total: int) -> float | None:
        """Return the seconds left; None before anything of the stage is done."""
        now = self._clock()
        if done < self._done:
            self._begun = now, done
        self._done = done
        start_s, first = self._begun
        if done <= first:
            return None
        return (now - start_s) / (done - first) * max(0, total - done)


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Step]:
    """Yield ``step(done, total, text)``; show a bar with the time left once a second has passed."""
    if quiet or not sys.stderr.isatty():
        yield _lines(title, quiet)
        return
    from threading import Timer

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counted]}"),
        TextColumn("{task.fields[left]}", style="progress.remaining"),
        TextColumn("{task.fields[text]}"),
    )
    pace = Pace()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, counted="", text="", left="", visible=False)
        late = Timer(PROGRESS_AFTER_S, lambda: bar.update(task, visible=True))
        late.daemon = True
        late.start()

        def step(done: int, total: int, text: str = "") -> None:
            left = _left(pace.left_s(done, total) if done < total else None)
            counted = f"{done:,}/{total:,}"
            bar.update(task, completed=done, total=total, counted=counted, text=text, left=left)

        try:
            yield step
        finally:
            late.cancel()


def _lines(title: str, quiet: bool) -> Step:
    """Where there is no terminal: a line every ten seconds."""
    state, pace = {"next": time.monotonic() + 10.0}, Pace()

    def step(done: int, total: int, text: str = "") -> None:
        left_s, now = pace.left_s(done, total), time.monotonic()
        if now < state["next"] or not done:
            return
        state["next"] = now + 10.0
        words = (f"{title}: {done:,}/{total:,}", _left(left_s) if done < total else "", text)
        note(", ".join(filter(None, words)), quiet=quiet)

    return step


def _left(seconds: float | None) -> str:
    """Say how long it will still take.

    >>> _left(7.4), _left(3725), _left(None)
    ('about 7 s left', 'about 1:02:05 left', '')
    """
    if seconds is None:
        return ""
    text = f"{seconds:.0f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))
    return f"about {text} left"
