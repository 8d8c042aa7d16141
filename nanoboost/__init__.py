"""NanoBoost: a DAG engine whose progress survives the loss of any machine.

What users import is loaded when it is first asked for: a node's processes import this package too,
and need none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanoboost.fields import Input, Output, Param
    from nanoboost.graph import NanoGraph
    from nanoboost.nano import Nano, Needs

__version__ = "0.1.0"

__all__ = ["Input", "Nano", "NanoGraph", "Needs", "Output", "Param", "__version__"]

_HOME = {
    "Input": "nanoboost.fields",
    "Output": "nanoboost.fields",
    "Param": "nanoboost.fields",
    "NanoGraph": "nanoboost.graph",
    "Nano": "nanoboost.nano",
    "Needs": "nanoboost.nano",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nanoboost' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found
