"""Multi-touch attribution whose totals add up to the last cent.

`attribute` divides the credit of orders among the touches that led to them, and returns a `Result`.
Tables come as paths or from whatever speaks the Arrow PyCapsule interface, and go the same way.
"""

import atexit

from . import _native
from ._attribute import attribute
from ._errors import (
    ApportionError,
    InputError,
    MissingInputError,
    NoOrderError,
    SettingError,
    TableTypeError,
    TooManyRejectsError,
)
from ._result import Chart, Difference, Explanation, Result
from ._settings import Settings
from ._table import Table

__version__ = _native.VERSION

__all__ = [
    "ApportionError",
    "Chart",
    "Difference",
    "Explanation",
    "InputError",
    "MissingInputError",
    "NoOrderError",
    "Result",
    "SettingError",
    "Settings",
    "Table",
    "TableTypeError",
    "TooManyRejectsError",
    "attribute",
]

# What a variable still holds when the interpreter ends is not always let go of.
atexit.register(_native.remove_temporaries)
