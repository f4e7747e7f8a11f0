"""Predict published rows, leave each source out, and write what pages and intervals rest on.

``make published TABLES="cnn.csv tpu.csv"`` after every new fit, with the tables of that fit; a few
minutes. Published pipelines, which are shipped with their layouts, and runs that no fit has seen,
are predicted beside them.
Writes planner/published/spread.toml, bench/results/published.json, docs/published.png and
docs/accuracy.md; ``bench/published.py --page`` writes the last alone.
"""

import sys
import tomllib
from json import dumps, loads
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "bench" / "results" / "published.json"
WHY = ROOT / "bench" / "residuals.toml"
PICTURE = ROOT / "docs" / "published.png"


def main(paths: list[Path]) -> int:
    """Write everything, in the order in which one rests on the other."""
    from foreplan.api import tool
    from foreplan.console import note, progress
    from planner.jsonable import to_jsonable
    from planner.published import spread
    from planner.published.assess import assess
    from planner.published.give_back import experiment
    from planner.published.leave_out import refits, spread_of
    from planner.published.pipelined import PIPELINES
    from planner.published.record import published_record, table_record
    from planner.published.rows import UNSEEN, read_rows
    from planner.records import SCHEMA, write_bytes, write_text
    from reports.published_figure import published_png

    if not paths:
        note("published: expected the paths of tables of published rows; name one")
        return 2
    with progress("leaving sources out", quiet=False) as step:
        found = refits([row for path in paths for row in read_rows(path)], step)
    given_back = experiment(found)
    write_text(spread.FILE, spread.written(spread_of(found.rows, given_back.left)))
    tables = []
    for path in (*paths, UNSEEN, PIPELINES):
        with progress(f"predicting {path.name}", quiet=False) as step:
            rows = assess(read_rows(path), progress=lambda done, total: step(done, total, ""))
        tables.append(table_record(path, rows, found.rows))
    record = published_record(tool(), SCHEMA, tables, found.rows, found.generations, given_back)
    write_text(RECORD, dumps(to_jsonable(record), separators=(",", ":")) + "\n")
    write_bytes(PICTURE, published_png(record))
    write_page()
    return 0


def write_page() -> None:
    """Write docs/accuracy.md from the files in bench/results."""
    from planner.measurement import Measurement
    from planner.published.record import PublishedRecord
    from planner.records import read_record, write_text
    from reports.accuracy import accuracy_page

    results = RECORD.parent
    found = sorted([*results.glob("*workers*.json"), *results.glob("input-*.json")])
    checks = {f.name: read_record(f, Measurement, "a measurement file") for f in found}
    record = read_record(RECORD, PublishedRecord, "a record of published rows")
    why = tomllib.loads(WHY.read_text(encoding="utf-8"))
    gpus = [loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("gpu-*.json"))]
    write_text(ROOT / "docs" / "accuracy.md", accuracy_page(checks, record, why, gpus))


if __name__ == "__main__":
    if sys.argv[1:] == ["--page"]:
        write_page()
    else:
        sys.exit(main([Path(name) for name in sys.argv[1:]]))
