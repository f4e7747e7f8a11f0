"""What the figures of the talk have in common: style, caption, file."""

import json
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwprofiles.errors import RecordError
from planner.jsonable import to_jsonable
from planner.records import write_bytes
from reports.canvas import INK, RC

STYLE = {**RC, "font.size": 11.0, "axes.titlesize": 11.5}
NOTE_IN, LINE_IN, CHARACTERS_PER_IN = 0.25, 0.19, 13.5
HEAD_IN, KEYS_IN, TITLE_PER_IN = 0.27, 0.3, 7.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """A figure, what it says, and its numbers."""

    name: str
    title: str
    """What the figure claims."""
    caption: str
    """What was done, what is seen, and where it comes from."""
    figure: Figure
    record: object


def blank(
    title: str, note: str, width_in: float, height_in: float, keys: Sequence[Artist] = ()
) -> Figure:
    """Return a figure with its claim above, ``keys`` below that, and in small what it rests on."""
    heads = textwrap.wrap(title, int(width_in * TITLE_PER_IN))
    lines = textwrap.wrap(note, int(width_in * CHARACTERS_PER_IN))
    below_in = NOTE_IN + LINE_IN * len(lines)
    whole_in = height_in + below_in
    figure = Figure(figsize=(width_in, whole_in))
    bottom, above = below_in / whole_in, KEYS_IN / whole_in if keys else 0.0
    room = (0, bottom, 1, 1 - bottom - above)
    figure.set_layout_engine("constrained", rect=room, w_pad=0.1, h_pad=0.1, wspace=0.04)
    figure.suptitle("\n".join(heads), x=0.01, ha="left", fontsize=15, fontweight="bold")
    figure.text(0.01, bottom - 0.01, "\n".join(lines), va="top", fontsize=10, color=INK)
    if keys:
        top = 1 - (HEAD_IN * len(heads) + 0.1) / whole_in
        figure.legend(
            handles=list(keys),
            loc="upper left",
            bbox_to_anchor=(0.0, top),
            ncols=len(keys),
            frameon=False,
        )
    return figure


def spread_labels(axes: Axes, labels: Sequence[tuple[float, str, str]], x: float) -> None:
    """Write labels (y, text, colour) to the right of ``x``, moved apart where they would touch."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    last = None
    for y, text, colour in sorted(labels):
        at = axes.transData.transform((x, y))[1]
        shown = at if last is None else max(at, last + 15)
        last = shown
        axes.annotate(
            text,
            (x, y),
            xytext=(6, (shown - at) * 72 / figure.dpi),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold",
            annotation_clip=False,
        )


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to.

    Raises
    ------
    RecordError
        Saying why not.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return
    why = "one that is not yours" if there.is_dir() else f"{there}, a file"
    raise RecordError(f"{folder}: expected a folder to write figures to, got {why}; name another")


def write_plates(plates: Sequence[Plate], folder: Path, dpi: int = 150) -> list[Path]:
    """Write every figure as a picture with its numbers beside it, and a page of all captions.

    The folder is made once everything is drawn.
    """
    files: dict[str, bytes] = {}
    page = ["# Figures"]
    for plate in plates:
        picture, numbers = f"{plate.name}.png", f"{plate.name}.json"
        drawn = BytesIO()
        plate.figure.savefig(drawn, dpi=dpi)
        record = {"title": plate.title, "caption": plate.caption, "numbers": plate.record}
        files[picture] = drawn.getvalue()
        files[numbers] = f"{json.dumps(to_jsonable(record), indent=1)}\n".encode()
        page += [f"## {plate.title}", f"![{plate.title}]({picture})", plate.caption]
        page.append(f"Numbers: [{numbers}]({numbers})")
    files["README.md"] = ("\n\n".join(page) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [folder / name for name in files]
