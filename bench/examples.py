"""Write the example pages of ``reports/examples``, from the records that lie beside them.

    python bench/examples.py            pages from the records; plans what has no record yet
    python bench/examples.py --plan     plan the clusters anew, less than a minute
    python bench/examples.py --draw     draw the maps and the figures of the talk anew, a minute
    python bench/examples.py --measure  plan, run and check LeNet-5 on this machine, two minutes

The plans of clusters rest on published runs and are the same on every machine; the measurement is
of the machine that its page names.
"""

import argparse
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import foreplan
from foreplan.cli import app
from planner.plan import Training
from planner.records import write_record

FOLDER = Path(__file__).parent.parent / "reports" / "examples"
EXCHANGES = {
    f"resnet-50-dgx-1-v100x4-{name}.json": (
        "dgx-1-v100:4",
        1024,
        {"workers": 32, "algorithm": name},
    )
    for name in ("star", "tree", "ring")
}
CLUSTERS = {
    f"resnet-50-{name}.json": (name, 256, {"workers": 8, "algorithm": "ring"})
    for name in ("dgx-1-v100", "dgx-a100-80g")
}
MEASURED = ("lenet-5.plan.json", "lenet-5.json")
PAGES = {
    "lenet-5": MEASURED,
    "star-tree-ring": tuple(EXCHANGES),
    "v100-against-a100": tuple(CLUSTERS),
}
"""Page, and the records that it is made of."""
PICTURES = {
    "topology-star-tree-ring.png": "topology --algorithm star --algorithm tree --algorithm ring"
    " --samples 12",
    "topology.png": "topology --samples 12",
    "topology-dgx-1-v100.png": "topology --cluster dgx-1-v100 --samples 24",
    "talk": "talk",
}
"""File or folder, and the command that draws it."""


def write_plans(again: bool) -> Iterator[Path]:
    """Plan ResNet-50 on the clusters: what has no plan file yet, or all of it ``again``."""
    for file, (cluster, batch, fixed) in {**EXCHANGES, **CLUSTERS}.items():
        path = FOLDER / file
        if again or not path.exists():
            found = foreplan.plan("resnet-50", cluster, Training(batch=batch), top=3, fixed=fixed)
            write_record(path, found)
            yield path


def draw(again: bool) -> Iterator[Path]:
    """Draw what has no picture yet, or all of them ``again``."""
    for name, words in PICTURES.items():
        path = FOLDER / name
        if again or not path.exists():
            with redirect_stdout(None):
                app([*words.split(), "-o", str(path), "--quiet"], standalone_mode=False)
            yield path


def measure(gate: float) -> Path:
    """Plan LeNet-5 for two workers of this machine, run it and check it; keep plan and run."""
    foreplan.write_digits()
    training, planned = Training(batch=64), FOLDER / "lenet-5.json"
    foreplan.calibrate(model="lenet-5", training=training)
    write_record(planned, foreplan.plan("lenet-5", "local", training, fixed={"workers": 2}))
    found = foreplan.execute(planned, check=True, gate=gate, output=planned, say=print)
    write_record(planned, found)
    return planned


def main() -> None:
    """Write what is asked for, then all pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plan", action="store_true", help="plan the clusters anew")
    parser.add_argument("--draw", action="store_true", help="draw maps and figures anew")
    parser.add_argument("--measure", action="store_true", help="run LeNet-5 on this machine")
    parser.add_argument("--gate", type=float, default=1.0, help="factor on the claim of the check")
    asked = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for path in (*write_plans(asked.plan), *draw(asked.draw)):
        print(f"wrote {path}")
    if asked.measure or not all((FOLDER / file).exists() for file in MEASURED):
        print(f"wrote {measure(asked.gate)}")
    for page, files in PAGES.items():
        for path in foreplan.report([FOLDER / file for file in files], FOLDER / f"{page}.html"):
            print(f"wrote {path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
