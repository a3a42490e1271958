"""Settings of the engine itself."""

from __future__ import annotations

import re

from .._errors import SettingError

_UNITS: dict[str, int] = {
    **{unit: 1000**power for power, unit in enumerate(("b", "kb", "mb", "gb", "tb"))},
    **{unit: 1024**power for power, unit in enumerate(("", "kib", "mib", "gib", "tib"))},
    **{unit: 1024**power for power, unit in enumerate(("k", "m", "g", "t"), start=1)},
}


def size(name: str, said: str | int) -> int:
    """A number of bytes: itself, or a text such as `512MiB`."""
    if isinstance(said, int) and not isinstance(said, bool) and said > 0:
        return said
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(said).lower())
    if match is None or match[2] not in _UNITS or float(match[1]) == 0:
        raise SettingError(f"`{name}` cannot be {said!r}: write a size such as `2GiB` or `500MB`")
    return round(float(match[1]) * _UNITS[match[2]])


def count(name: str, said: int) -> int:
    """A number of at least one."""
    if not isinstance(said, int) or isinstance(said, bool) or said < 1:
        raise SettingError(f"`{name}` cannot be {said!r}: write a number from 1 on")
    return said
