"""What the workers' answers say: one execution, its input, its arenas."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planner.measurement import (
    ArenaProof,
    Execution,
    InputRun,
    StageRun,
)
from planner.program import Program
from runtime.proof import STEPS


def execution(answer: Mapping[str, Any]) -> Execution:
    """Return the record of one run."""
    seconds = np.array(answer["seconds"])
    low, median, high, p90 = np.percentile(seconds, (25, 50, 75, 90))
    return Execution(
        step_s=float(median),
        step_p90_s=float(p90),
        step_iqr_s=float(high - low),
        steps=len(seconds),
        sentinels_before_s={k: tuple(v) for k, v in answer["sentinels_before"].items()},
        sentinels_after_s={k: tuple(v) for k, v in answer["sentinels_after"].items()},
        losses=tuple(answer["losses"]),
        test_loss=answer["test_loss"],
        test_accuracy=answer["accuracy"],
        training_s=answer["training_s"],
        arena_bytes=tuple(answer["arena_bytes"]),
        arena_intact=answer["arena_intact"],
        parameters_sha256=answer["parameters_sha256"],
        input=input_run(answer["input"]) if answer.get("input") else None,
    )


def input_run(ranks: Sequence[Mapping[str, Any]]) -> InputRun:
    """Return how the input of a run was, from what the meter of each rank has found."""
    wall_s = float(np.mean([found["wall_s"] for found in ranks]))
    stages = {}
    for stage, servers in (("read", 1), ("decode", 0)):
        rows = [row for found in ranks for row in _stage_rows(found["processes"], stage)]
        firings, busy_s = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0.0)
        if firings:
            most_s = busy_s if servers else max(seconds for _, seconds in rows)
            stages[stage] = StageRun(
                firings=int(firings), each_s=busy_s / firings, busy_frac=most_s / wall_s
            )
    return InputRun(
        stall_s=tuple(np.mean([found["stall_s"] for found in ranks], axis=0).tolist()),
        read_bytes=sum(found["bytes"].get("read_bytes", 0) for found in ranks),
        device_bytes=sum(found["bytes"].get("device_bytes", 0) for found in ranks),
        stages=stages,
    )


def _stage_rows(processes: Mapping[str, Any], stage: str) -> list[tuple[int, float]]:
    """Return (firings, busy seconds) of the processes of one stage; all readers share one disk."""
    return [tuple(row) for name, row in processes.items() if name.startswith(stage)]


def arena_proof(program: Program, answer: Mapping[str, Any]) -> ArenaProof | None:
    """Return what was proved of the arenas, if it was asked for."""
    beside = answer.get("beside_arena_bytes")
    if beside is None:
        return None
    unpacked = [sum(r.arena_bytes for r in registers) for registers in program.registers]
    return ArenaProof(
        steps=STEPS,
        unpacked_bytes=tuple(unpacked),
        beside_bytes=tuple(beside),
        exempt=answer["library"] if answer["exempt"] else "",
    )
