"""The input pipelines that ``bench/accuracy.py`` checks: one for each stage that can be slowest.

A copy by the cores that compute takes part of a step, and decoding writes what it copies, so with
one core to decode on there is no case in which copies take longest.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

import foreplan
from foreplan.inputs import Asked, plan_input
from planner.plan import Training
from planner.records import PlanFile, write_record
from runtime.packed import pack_records
from runtime.records import RecordFile, write_records

WIDE = "bench/models/wide-input.toml"
CASES = {"input-compute": "lenet-5", "input-decode": WIDE, "input-read": "lenet-5"}
"""By name, which ends in the stage that is slowest: the model."""
SIDE = 16
"""Pixels that a pixel of a digit becomes in the large pictures of the wide model."""
FILES = ("digits-train.rec", "digits-test.rec")


def write_wide(source: Path, target: Path) -> None:
    """Write the digits ``SIDE`` times as large, with noise, so that a record compresses by half."""
    rng = np.random.default_rng(0)
    for name in FILES:
        with RecordFile(source / name) as records:
            raw = np.empty((records.count, records.header.record_bytes), np.uint8)
            records.read_into(0, raw)
        height, width = records.header.sample_shape
        large = raw[:, 1:].reshape(-1, height, width).repeat(SIDE, 1).repeat(SIDE, 2)
        noisy = 15 * large + rng.integers(0, 16, large.shape, dtype=np.uint8)
        write_records(target / name, noisy, raw[:, 0], classes=10, seed=0)


def case(name: str, folder: Path, digits: Path) -> tuple[PlanFile, Path]:
    """Return the plan of a case, of one worker and one decode worker, and where its records are.

    Its ops are timed here; ``folder`` is for its files, ``digits`` has the digits.
    """
    training, model, data = Training(batch=64), CASES[name], digits
    if model == WIDE:
        data = folder / "data"
        (folder / "raw").mkdir()
        data.mkdir()
        write_wide(digits, folder / "raw")
        pack_records(folder / "raw" / FILES[0], data / FILES[0])
        (folder / "raw" / FILES[1]).rename(data / FILES[1])
    foreplan.calibrate(workers=1, model=model, training=training)
    path = folder / "steps.json"
    fixed = {"workers": 1, "microbatch": 32}
    write_record(path, foreplan.plan(model, "local", training, fixed=fixed))
    asked = Asked(decode_workers=1, prefetch=4)
    plans, _ = plan_input(path, asked, data=data)
    if name == "input-read":
        needed = plans.plans[0].prediction.input
        assert needed is not None
        limit = needed.needed_bytes_per_s / 2
        plans, _ = plan_input(path, replace(asked, throttle_bytes_per_s=limit), data=data)
    return plans, data
