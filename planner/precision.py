"""Mixed precision: which trainings keep masters beside their halves, and which scale their loss.

Passes and exchange of a training in float16 or bfloat16 are in halves. What an update adds may be
too small for them, so the optimizer keeps the parameters (*masters*) and its state in float32 and
writes the halves. The gradients of float16 may be too small as well: the loss is multiplied by a
scale that halves when a gradient overflows, in a step that is then skipped, and doubles after many
that do not. All ranks hold the same gradients when they judge, so they skip the same steps.

Source: Micikevicius et al., Mixed Precision Training, ICLR 2018, sections 3.1 and 3.2; the numbers
are those of PyTorch's ``GradScaler``.
"""

from planner.opcall import OpCall, Tensor

HALVES = ("float16", "bfloat16")
KEPT_DTYPE = "float32"
"""Of masters and states beside halves."""
MASTERS, SCALING = "masters", "scaling"
"""Registers of such a training: one value a parameter, and ``PLACES`` values."""
SCALE, SINCE, INVERSE, SKIPPED = range(4)
"""Places in ``scaling``: of the loss of the next step; good steps since it changed; one over that
of this step, 0 where it is to be skipped; steps skipped so far."""
PLACES = 4
FIRST_SCALE, LEAST_SCALE = 2.0**16, 2.0**-16
GROW_AFTER = 2000
"""Good steps in a row after which the scale doubles."""


def has_masters(dtype: str) -> bool:
    """Whether a training in ``dtype`` keeps float32 parameters beside those of its passes."""
    return dtype in HALVES


def scales_loss(dtype: str) -> bool:
    """Whether a training in ``dtype`` scales its loss.

    >>> scales_loss("float16"), scales_loss("bfloat16")
    (True, False)
    """
    return dtype == "float16"


def kept_dtype(dtype: str) -> str:
    """Return the dtype of what the optimizer keeps from step to step.

    >>> kept_dtype("bfloat16"), kept_dtype("tf32")
    ('float32', 'tf32')
    """
    return KEPT_DTYPE if has_masters(dtype) else dtype


def scaling() -> Tensor:
    """Return the scale of the loss and what goes with it."""
    return Tensor(name=SCALING, shape=(PLACES,), dtype=KEPT_DTYPE)


def first_scaling(dtype: str) -> tuple[float, ...]:
    """Return ``scaling`` before the first step; nothing ever changes it where none is scaled."""
    first = FIRST_SCALE if scales_loss(dtype) else 1.0
    return (first, 0.0, 1 / first, 0.0)


def judge(elements: int, dtype: str) -> OpCall:
    """Return the check that gradients are finite, which sets ``scaling``: one FLOP a gradient."""
    return OpCall(
        kernel="scaling.judge",
        op_class="scaling",
        dtype=dtype,
        flop=elements,
        reads=(Tensor(name="g", shape=(elements,), dtype=dtype),),
        updates=(scaling(),),
    )
