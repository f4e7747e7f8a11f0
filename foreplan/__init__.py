"""The door: the public Python functions and the command line. Holds no formula.

>>> import foreplan
>>> foreplan.models()
['lenet-5', 'mlp']
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foreplan.api import calibrate, execute, models, plan, report, trace, write_digits

__version__ = "0.1.0"
__all__ = ["calibrate", "execute", "models", "plan", "report", "trace", "write_digits"]


def __getattr__(name: str) -> Any:
    """Load the functions when they are first asked for, so that ``foreplan --help`` is quick."""
    if name in __all__:
        from foreplan import api

        return getattr(api, name)
    raise AttributeError(name)
