"""Rows from a measurement: predicted beside measured, and where the error comes from."""

from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from planner.measurement import Execution, Measurement, OpTimes, Split
from planner.predict import Prediction
from reports.tables import Row
from reports.words import PHASE_WORDS, SPLIT_WORDS

NS_PER_S = 10**9
LOSS_POINTS = 8
"""Losses that the table of a training shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPart:
    """One part of the way from predicted to measured.

    The times are whole nanoseconds, rounded before they are subtracted, and so are the points
    (tenths of a per cent of the measured step): what is printed adds up exactly.
    """

    name: str
    symbol: str
    meaning: str
    from_ns: int
    to_ns: int
    points: int
    """Its part of the error, predicted over measured - 1, in tenths of a per cent."""

    @property
    def change_ns(self) -> int:
        """What the part adds to the step."""
        return self.to_ns - self.from_ns


def split_parts(split: Split) -> tuple[SplitPart, ...]:
    """Return op costs, interference and structure; together they are the total error exactly."""
    seconds = (split.predicted_s, split.solo_s, split.traced_s, split.measured_s)
    ns = [round(value * NS_PER_S) for value in seconds]
    tenths = [round(1000 * (value / ns[-1] - 1)) for value in ns]
    return tuple(
        SplitPart(
            name=name,
            symbol=symbol,
            meaning=meaning,
            from_ns=ns[i],
            to_ns=ns[i + 1],
            points=tenths[i] - tenths[i + 1],
        )
        for i, (name, (symbol, meaning)) in enumerate(SPLIT_WORDS.items())
    )


def split_rows(split: Split) -> list[Row]:
    """Return the sum from predicted to measured, one line a summand, then the total."""
    parts = split_parts(split)
    first = _summand("predicted", "P0", "simulated with the costs of the plan file")
    middle = [
        _summand(part.name, part.symbol, part.meaning)
        | {"change_ns": part.change_ns, "step_ns": part.to_ns, "points": part.points}
        for part in parts
    ]
    total = {
        "change_ns": sum(part.change_ns for part in parts),
        "step_ns": parts[-1].to_ns,
        "points": sum(part.points for part in parts),
    }
    last = _summand("measured", "M", "the sum of the lines above") | total
    return [first | {"step_ns": parts[0].from_ns}, *middle, last]


def _summand(name: str, symbol: str, meaning: str) -> dict[str, Any]:
    return {"line": f"{name} ({symbol})", "meaning": meaning, "change_ns": None, "points": None}


def phase_rows(prediction: Prediction, measured: Measurement | None) -> list[Row]:
    """Return the busy time of rank 0 by phase, predicted and in the traced step, and its sum."""
    names = list(prediction.phases_s)
    seen = measured.phases_s if measured else {}
    names += [name for name in seen if name not in names]
    rows = [
        _phase(
            name,
            PHASE_WORDS.get(name, ""),
            prediction.phases_s.get(name, 0.0),
            seen.get(name, 0.0) if seen else None,
        )
        for name in names
    ]
    whole = sum(seen.values()) if seen else None
    return [*rows, _phase("step", "sum of the above", sum(prediction.phases_s.values()), whole)]


def _phase(name: str, meaning: str, predicted_s: float, measured_s: float | None) -> Row:
    return {
        "phase": name,
        "meaning": meaning,
        "predicted_s": predicted_s,
        "measured_s": measured_s,
        "change_s": predicted_s - measured_s if measured_s is not None else None,
        "error_frac": predicted_s / measured_s - 1 if predicted_s and measured_s else None,
    }


def op_rows(ops: tuple[OpTimes, ...]) -> list[Row]:
    """Return every op with its share of the work of all ranks, as predicted and as traced."""
    if not ops:
        return []
    frame = pd.DataFrame(
        {
            "phase": [op.phase for op in ops],
            "op": [op.signature.partition("(")[0] for op in ops],
            "shapes": [_shapes(op.signature) for op in ops],
            "firings": [op.firings for op in ops],
            "predicted_s": [op.predicted_s for op in ops],
            "solo_s": [op.solo_s for op in ops],
            "traced_s": [op.traced_s for op in ops],
        }
    )
    frame["error_frac"] = frame["predicted_s"] / frame["traced_s"] - 1
    work = frame["firings"] * frame["traced_s"]
    frame["share_frac"] = work / work.sum()
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _shapes(signature: str) -> str:
    """Return what follows an op's name: shapes, dtype, and how cold the op is."""
    inside, _, dtype = signature.partition("(")[2].rpartition(")")
    dtype = dtype.replace("@", ", reused after ").replace("KiB", " KiB")
    return f"{inside.replace(';', ' ; ').replace(',', ', ')} {dtype}".strip()


def execution_rows(executions: tuple[Execution, ...]) -> list[Row]:
    """Return the timing and the training of each execution."""
    return [
        {
            "execution": i + 1,
            "steps": run.steps,
            "step_s": run.step_s,
            "iqr_s": run.step_iqr_s,
            "p90_s": run.step_p90_s,
            "first_loss": run.losses[0] if run.losses else None,
            "last_loss": run.losses[-1] if run.losses else None,
            "accuracy_frac": run.test_accuracy,
            "training_s": run.training_s,
            "arena_intact": run.arena_intact,
            "parameters": run.parameters_sha256[:12],
        }
        for i, run in enumerate(executions)
    ]


def loss_rows(losses: tuple[float, ...]) -> list[Row]:
    """Return the training loss at evenly spaced steps, the first and the last among them."""
    count = min(LOSS_POINTS, len(losses))
    last = len(losses) - 1
    at = sorted({round(i * last / max(1, count - 1)) for i in range(count)})
    return [{"step": i + 1, "loss": losses[i]} for i in at]


def sentinel_rows(executions: tuple[Execution, ...]) -> list[Row]:
    """Return each sentinel before and after each execution: mean over ranks, and their spread."""
    return [
        {
            "execution": i + 1,
            "op": name.partition("(")[0],
            "shapes": _shapes(name),
            "before_s": fmean(before),
            "after_s": fmean(after) if after else None,
            "moved_frac": fmean(after) / fmean(before) - 1 if after else None,
            "spread_frac": max(max(times) / min(times) - 1 for times in (before, after or before)),
        }
        for i, run in enumerate(executions)
        for name, before in run.sentinels_before_s.items()
        for after in [run.sentinels_after_s.get(name, ())]
    ]


def whole_drift(measured: Measurement) -> float:
    """Return the largest change of a sentinel from before the first execution to after the last.

    The rule is that of a check, whose sentinels are timed in another layer.
    """
    first, last = measured.executions[0], measured.executions[-1]
    return max(
        (
            abs(fmean(last.sentinels_after_s[name]) / fmean(before) - 1)
            for name, before in first.sentinels_before_s.items()
            if name in last.sentinels_after_s
        ),
        default=0.0,
    )
