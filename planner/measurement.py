"""measurement.json: what an execution measured, beside what was predicted for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.plan import Training
from planner.records import RankedPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTimes:
    """One op of the plan: predicted, alone, and inside a step; seconds of one firing."""

    signature: str
    phase: str
    firings: int
    """A step, all ranks."""
    predicted_s: float
    solo_s: float
    traced_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Where the error of a step comes from, by substitution in the simulator; seconds of a step."""

    predicted_s: float
    """P0: costs of the plan file."""
    solo_s: float
    """P1: every op as it runs alone; P1 - P0 is the error of the op costs."""
    traced_s: float
    """P2: every op as it ran inside the step; P2 - P1 is interference."""
    measured_s: float
    """M, untraced; M - P2 is structure: dispatch gaps, waiting that the simulator does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """One stage of an input pipeline in the timed steps."""

    firings: int
    """Of all its processes together."""
    each_s: float
    """Mean length of a firing."""
    busy_frac: float
    """Share of the time in which its busiest server worked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRun:
    """How the workers got their input in the timed steps."""

    stall_s: tuple[float, ...]
    """By step, mean over ranks: nothing to do but wait for input, or load it."""
    read_bytes: int
    """Read from the file by all; 0 where the system does not say."""
    device_bytes: int
    """Those of them that no cache had."""
    stages: Mapping[str, StageRun]
    """``read`` and ``decode`` of a pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of the workers."""

    step_s: float
    """Median over the timed steps."""
    step_p90_s: float
    step_iqr_s: float
    steps: int
    sentinels_before_s: Mapping[str, tuple[float, ...]]
    """By signature, then rank."""
    sentinels_after_s: Mapping[str, tuple[float, ...]]
    losses: tuple[float, ...]
    """Training loss of each step, warm-up included."""
    test_accuracy: float | None
    """Share of the labels of the test records that are right."""
    training_s: float
    """Wall time of all steps."""
    arena_bytes: tuple[int, ...]
    arena_intact: bool
    parameters_sha256: str
    input: InputRun | None = None
    test_loss: float | None = None
    """Mean loss of the test records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One step, predicted and measured, task by task in program order; seconds from its start."""

    task: tuple[str, ...]
    ranks: tuple[tuple[int, ...], ...]
    phase: tuple[str, ...]
    predicted_start_s: tuple[float, ...]
    predicted_end_s: tuple[float, ...]
    measured_start_s: tuple[float, ...]
    measured_end_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaProof:
    """What ``--check`` has proved of the arenas: a measurement without this proof is not written.

    Some steps ran twice from one state, the second time with every freed register poisoned, and
    ended in the same bits; they wrote to the last line of the arena and not behind it.
    """

    steps: int
    unpacked_bytes: tuple[int, ...]
    """By rank: the registers if each had a place of its own."""
    beside_bytes: tuple[int, ...]
    """By rank: the most that Python and NumPy held beside the arena in a step."""
    exempt: str = ""
    """Library of the backend that allocates beside the arena, not counted above; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ``--check`` concluded."""

    claim_frac: float
    """Largest median error that the claim allows."""
    gate: float
    """Factor on the claim (and on the sentinels' tolerance) that was used; 1 is the claim."""
    error_frac: float
    """Median predicted over median measured - 1."""
    valid: bool
    """Whether the sentinels held still."""
    void_reasons: tuple[str, ...]
    """Why earlier attempts, or this one, do not count."""
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """That one rank ran alone, its peers stubbed."""

    rank: int
    words: str
    """What was measured, and what was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """measurement.json."""

    schema: int
    tool: str
    model: str
    cluster: str
    training: Training
    ranked: RankedPlan
    """The plan that ran, with its prediction."""
    executions: tuple[Execution, ...]
    step_s: float
    """Median over the executions."""
    error_frac: float
    """Predicted over measured - 1."""
    split: Split | None
    ops: tuple[OpTimes, ...]
    phases_s: Mapping[str, float]
    """Measured busy time of rank 0 by phase, from the traced step."""
    trace: Trace | None
    check: Verdict | None
    environment: Mapping[str, Any]
    """Identity of the workers, versions, and how to repeat the run."""
    arena: ArenaProof | None = None
    """What was proved of the arenas; None where no check was asked for."""
    replay: Replay | None = None
    """Which rank ran alone, if one did; all that others do, and messages, are then as predicted."""
