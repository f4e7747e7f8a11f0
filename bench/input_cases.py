"""The input pipelines that ``bench/accuracy.py`` checks: one for each stage that can be slowest.

A copy by the cores that compute takes part of a step, so it is the slowest stage where it is most
of one: pictures too large for the caches, of which a step does little more than weigh each pixel.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

import foreplan
from foreplan.inputs import Asked, plan_input
from planner.plan import Training
from planner.records import PlanFile, write_record
from runtime.packed import pack_records
from runtime.record_writer import write_records
from runtime.records import RecordFile

WIDE = "bench/models/wide-input.toml"
FLAT = "bench/models/flat-input.toml"
CASES = {"input-compute": "lenet-5", "input-decode": WIDE, "input-read": "lenet-5"}
CASES["input-copy"] = FLAT
"""By name, which ends in the stage that is slowest: the model."""
BATCH = {FLAT: 256}
"""Of the models that are not trained with 64; a microbatch is half of it."""
SIDE = 16
"""Pixels that a pixel of a digit becomes in the large pictures of two of the models."""
FILES = ("digits-train.rec", "digits-test.rec")


def write_wide(source: Path, target: Path, classes: int) -> None:
    """Write the digits ``SIDE`` times as large, with noise, so that a record compresses by half.

    Where there are fewer than ten ``classes``, digits take turns in them.
    """
    target.mkdir()
    rng = np.random.default_rng(0)
    for name in FILES:
        with RecordFile(source / name) as records:
            raw = np.empty((records.count, records.header.record_bytes), np.uint8)
            records.read_into(0, raw)
        height, width = records.header.sample_shape
        large = raw[:, 1:].reshape(-1, height, width).repeat(SIDE, 1).repeat(SIDE, 2)
        noisy = 15 * large + rng.integers(0, 16, large.shape, dtype=np.uint8)
        write_records(target / name, noisy, raw[:, 0] % classes, classes=classes, seed=0)


def case(name: str, folder: Path, digits: Path) -> tuple[PlanFile, Path]:
    """Return the plan of a case, of one worker and one decode worker, and where its records are.

    Its ops are timed here; ``folder`` is for its files, ``digits`` has the digits.
    """
    model, data = CASES[name], digits
    training = Training(batch=BATCH.get(model, 64))
    if model == WIDE:
        data = folder / "data"
        write_wide(digits, folder / "raw", classes=10)
        data.mkdir()
        pack_records(folder / "raw" / FILES[0], data / FILES[0])
        (folder / "raw" / FILES[1]).rename(data / FILES[1])
    elif model == FLAT:
        data = folder / "data"
        write_wide(digits, data, classes=2)
    foreplan.calibrate(workers=1, model=model, training=training)
    path = folder / "steps.json"
    fixed = {"workers": 1, "microbatch": training.batch // 2}
    write_record(path, foreplan.plan(model, "local", training, fixed=fixed))
    asked = Asked(decode_workers=1, prefetch=4)
    plans, _ = plan_input(path, asked, data=data)
    if name == "input-read":
        needed = plans.plans[0].prediction.input
        assert needed is not None
        limit = needed.needed_bytes_per_s / 2
        plans, _ = plan_input(path, replace(asked, throttle_bytes_per_s=limit), data=data)
    return plans, data
