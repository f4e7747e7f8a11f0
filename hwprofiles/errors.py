"""The errors a person can meet, by meaning; each is one line and an exit code at the door.

ForeplanError              exit 2: bad input, one sentence (where, expected, got, what to do)
├── UnitError              a size or a rate that cannot be read
├── ProfileError           a device, link or cluster profile
├── ModelError             a model
├── PlanError              a plan that cannot be what was asked
│   ├── DeadlockError      a task graph that would wait for ever
│   ├── MemoryExhausted    an allocator has no block that is large enough
│   └── LinkLost           a link fails in a simulated run, and there is no way round it
├── RecordError            a file of ours or of the user's: missing, cut short, wrong schema
├── BackendUnavailable     a library or a device that this machine has not
├── NothingFits            exit 4: every candidate was rejected
├── WorkerLost             exit 3: a worker died or timed out
└── CheckFailed            exit 5: a check above its threshold
"""


class ForeplanError(Exception):
    """Base of every error that a user's input or machine can cause."""

    exit_code = 2


class UnitError(ForeplanError):
    """A quantity whose text cannot be read."""


class ProfileError(ForeplanError):
    """A device, link or cluster profile is wrong or unknown."""


class ModelError(ForeplanError):
    """A model is wrong or unknown."""


class PlanError(ForeplanError):
    """A plan asks for something that the model, the cluster or the rules do not allow."""


class DeadlockError(PlanError):
    """A task graph would wait for ever; the message names the tasks that wait."""


class MemoryExhausted(PlanError):
    """A task asks for memory where none is left, and nobody waits for some to come back."""


class LinkLost(PlanError):
    """A link fails in a simulated run, and a transfer has no other way."""


class RecordError(ForeplanError):
    """A file is missing, cut short, malformed or of another schema."""


class BackendUnavailable(ForeplanError):
    """A library or device that a command needs is not on this machine."""


class NothingFits(ForeplanError):
    """Every candidate was rejected; the message says what is missing."""

    exit_code = 4


class WorkerLost(ForeplanError):
    """A worker process died or did not answer in time."""

    exit_code = 3


class InputLost(WorkerLost):
    """A process of the input pipeline died; the message names it and the worker that it fed."""


class CheckFailed(ForeplanError):
    """A measured error is above its threshold."""

    exit_code = 5
