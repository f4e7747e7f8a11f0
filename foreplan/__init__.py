"""The door: the public Python functions and the command line. Holds no formula.

>>> import foreplan
>>> foreplan.models()
['lenet-5', 'mlp']
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foreplan.api import calibrate, execute, models, plan, report, write_digits
    from foreplan.inquiry import diff, explain, what_if

__version__ = "0.1.0"
__all__ = [
    "calibrate",
    "diff",
    "execute",
    "explain",
    "models",
    "plan",
    "report",
    "what_if",
    "write_digits",
]


def __getattr__(name: str) -> Any:
    """Load the functions when they are first asked for, so that ``foreplan --help`` is quick."""
    if name in __all__:
        from foreplan import api, inquiry

        return getattr(inquiry if name in ("diff", "explain", "what_if") else api, name)
    raise AttributeError(name)
