"""The door: the public Python functions and the command line. Holds no formula.

>>> import foreplan
>>> foreplan.models()
['lenet-5', 'mlp']
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foreplan.api import calibrate, execute, models, plan, report
    from foreplan.datasets import write_digits, write_synthetic
    from foreplan.pictures import talk, topology

__version__ = "0.1.0"
__all__ = [
    "calibrate",
    "execute",
    "models",
    "plan",
    "report",
    "talk",
    "topology",
    "write_digits",
    "write_synthetic",
]


def __getattr__(name: str) -> Any:
    """Load the functions when they are first asked for, so that ``foreplan --help`` is quick."""
    if name not in __all__:
        raise AttributeError(name)
    if name in ("talk", "topology"):
        from foreplan import pictures

        return getattr(pictures, name)
    from foreplan import api, datasets

    return getattr(datasets if name.startswith("write") else api, name)
