"""The door: the public Python functions and the command line. Holds no formula.

>>> import foreplan
>>> foreplan.models()
['lenet-5', 'mlp']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foreplan.api import execute, report, trace
    from foreplan.datasets import (
        write_digits,
        write_synthetic,
        write_synthetic_for,
        write_text,
    )
    from foreplan.inquiry import diff, explain, what_if
    from foreplan.library import collective
    from foreplan.pictures import talk, topology
    from foreplan.pipelining import pipeline
    from foreplan.planning import calibrate, models, plan

__version__ = "0.1.0"
__all__ = [
    "calibrate",
    "collective",
    "diff",
    "execute",
    "explain",
    "models",
    "pipeline",
    "plan",
    "report",
    "talk",
    "topology",
    "trace",
    "what_if",
    "write_digits",
    "write_synthetic",
    "write_synthetic_for",
    "write_text",
]

_ELSEWHERE = {
    "calibrate": "planning",
    "collective": "library",
    "diff": "inquiry",
    "explain": "inquiry",
    "models": "planning",
    "pipeline": "pipelining",
    "plan": "planning",
    "talk": "pictures",
    "topology": "pictures",
    "what_if": "inquiry",
    "write_digits": "datasets",
    "write_synthetic": "datasets",
    "write_synthetic_for": "datasets",
    "write_text": "datasets",
}
"""Module of each function that is not in ``foreplan.api``."""


def __getattr__(name: str) -> Any:
    """Load the functions when they are first asked for, so that ``foreplan --help`` is quick."""
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"foreplan.{_ELSEWHERE.get(name, 'api')}"), name)
